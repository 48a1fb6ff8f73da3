import { isComfyError } from "./errors.ts";
import type { ComfyFeatures, Dialect } from "./face.ts";
import type { Http } from "./http.ts";
import { Features, PATHS, SystemStats } from "./wire/index.ts";

/** A version as numbers, most significant first. */
type Version = readonly [number, number, number];

/** The server version that brought each ability (reference/comfyui-protocol.md §0.1). */
const SINCE = {
  ownPromptIds: [0, 3, 45],
  targetedInterrupt: [0, 3, 56],
  hidesKeys: [0, 3, 67],
  jobsApi: [0, 5, 1],
  uuidPromptIds: [0, 24, 0],
  cancelEndpoint: [0, 25, 0],
} as const satisfies Record<string, Version>;

const NOBODY = "00000000-0000-0000-0000-000000000000";

/** Finds out what the server can do: by its version, or where it tells none by asking harmless questions. */
export async function detectFeatures(http: Http, dialect: Dialect): Promise<ComfyFeatures> {
  const maxUploadBytes = await readMaxUpload(http);
  const limits = maxUploadBytes === undefined ? {} : { maxUploadBytes };
  if (dialect === "cloud") return { dialect, ...limits, ...(await cloudVersion(http)), ...CLOUD };
  const { system } = await http.read(SystemStats, { method: "GET", path: PATHS.systemStats });
  const version = system.comfyui_version;
  const parsed = parseVersion(version);
  const abilities = parsed ? abilitiesOf(parsed) : await probe(http);
  return { dialect, ...limits, ...(version === undefined ? {} : { version }), ...abilities };
}

type Abilities = Pick<ComfyFeatures, "jobsApi" | "cancelEndpoint" | "targetedInterrupt" | "promptIds" | "hidesKeys">;

/** The published contract has no client-made prompt ids (§9.5), and `/api/interrupt` takes none (§6.1). */
const CLOUD: Abilities = {
  jobsApi: true,
  cancelEndpoint: true,
  targetedInterrupt: false,
  promptIds: "minted",
  hidesKeys: true,
};

/** Told by the published contract; what speaks like the cloud may have no such route. */
async function cloudVersion(http: Http): Promise<Pick<ComfyFeatures, "version">> {
  try {
    const { system } = await http.read(SystemStats, { method: "GET", path: PATHS.systemStats });
    return system.comfyui_version === undefined ? {} : { version: system.comfyui_version };
  } catch (error) {
    if (isComfyError(error, "not_found", "protocol")) return {};
    throw error;
  }
}

function abilitiesOf(version: Version): Abilities {
  const has = (since: Version) => isAtLeast(version, since);
  const ownIds = has(SINCE.uuidPromptIds) ? "uuid" : "any";
  return {
    jobsApi: has(SINCE.jobsApi),
    cancelEndpoint: has(SINCE.cancelEndpoint),
    targetedInterrupt: has(SINCE.targetedInterrupt),
    promptIds: has(SINCE.ownPromptIds) ? ownIds : "minted",
    hidesKeys: has(SINCE.hidesKeys),
  };
}

async function probe(http: Http): Promise<Abilities> {
  const jobs = await http.send({ method: "GET", path: PATHS.jobs, query: { limit: "1" } });
  // Harmless: for an unknown id the answer is 200 `{"cancelled": false}`; older servers have no such route.
  const cancel = await http.send({ method: "POST", path: `${PATHS.jobs}/${NOBODY}/cancel` });
  const jobsApi = jobs.status === 200;
  return {
    jobsApi,
    cancelEndpoint: cancel.status === 200,
    targetedInterrupt: jobsApi,
    promptIds: "any",
    hidesKeys: jobsApi,
  };
}

async function readMaxUpload(http: Http): Promise<number | undefined> {
  try {
    const { max_upload_size } = await http.read(Features, { method: "GET", path: PATHS.features });
    return max_upload_size === undefined ? undefined : Math.floor(max_upload_size);
  } catch (error) {
    if (isComfyError(error, "not_found", "protocol", "unauthorized")) return undefined; // servers of before 2025
    throw error;
  }
}

/** `0.33.0`, `v0.3.64`, `0.3.45-12-gabc`; undefined when it does not begin with a number. */
function parseVersion(text: string | undefined): Version | undefined {
  const match = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(text ?? "");
  return match ? [Number(match[1]), Number(match[2] ?? 0), Number(match[3] ?? 0)] : undefined;
}

function isAtLeast(version: Version, since: Version): boolean {
  const [a, b, c] = [version[0] - since[0], version[1] - since[1], version[2] - since[2]];
  return (a || b || c) >= 0;
}
