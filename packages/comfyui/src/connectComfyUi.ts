import { cancelPrompt } from "./cancelPrompt.ts";
import { type Client, createClient, expectStatus } from "./client.ts";
import { isComfyError } from "./errors.ts";
import type { ComfyUi, ConnectOptions, Submission, Submitted } from "./face.ts";
import { type Call, errorOfStatus } from "./http.ts";
import { readQueue } from "./lookUp.ts";
import { readHistory } from "./readHistory.ts";
import { submitPrompt } from "./submitPrompt.ts";
import { uploadFile } from "./uploadFile.ts";
import { viewFile } from "./viewFile.ts";
import { watchPrompt } from "./watchPrompt.ts";
import { Job, ObjectInfo, PATHS, SystemStats } from "./wire/index.ts";

/** A submission waits this long for the socket, to hear its prompt from the start. */
const SOCKET_PATIENCE_MS = 1_000;
/** Megabytes, built while the server's loop stands still. */
const OBJECT_INFO_TIMEOUT_MS = 120_000;
const REACHABLE_WITHIN_MS = 5_000;

/**
 * Stands for one ComfyUI server, local or Comfy Cloud. Opens nothing by itself: HTTP connections are made by the calls,
 * the WebSocket by the first `submit` or `watch`, and `close` ends them all.
 * @throws ComfyError `unreachable` when the URL is not an http(s) URL
 */
export function connectComfyUi(options: ConnectOptions): ComfyUi {
  const client = createClient(options);
  const { http, router, address, report, limits } = client;
  const { dialect } = address;

  return {
    submit: (submission) => submit(submission, client),
    find: (promptId, { signal } = {}) => client.lookUp(promptId, signal),
    watch(promptId, watching) {
      const { pollMs, unreachableMs } = limits;
      const isHeard = (clientId: unknown) => {
        const socket = client.socket();
        return socket.isHearing && (dialect === "cloud" || clientId === socket.clientId);
      };
      const { lookUp } = client;
      return watchPrompt(promptId, watching, {
        router,
        lookUp,
        isHeard,
        report,
        pollMs,
        unreachableMs,
        closed: http.closed,
      });
    },
    cancel: (promptId, cancelling) => cancelPrompt(promptId, cancelling, client),
    upload: (upload) => uploadFile(upload, http),
    view: (file, { signal } = {}) => viewFile(file, http, signal),
    forget: (promptId) => command(client, { path: PATHS.history, json: { delete: [promptId] } }),
    queue: ({ signal } = {}) => readQueue({ http, signal }),
    history: (promptId, { signal } = {}) => readHistory(promptId, { http, dialect, signal }),
    job: (promptId, { signal } = {}) => readJob(promptId, client, signal),
    async free({ unloadModels = false, freeMemory = false }) {
      if (dialect === "cloud") return; // nothing of ours is held there
      await command(client, { path: PATHS.free, json: { unload_models: unloadModels, free_memory: freeMemory } });
    },
    stats: () => http.read(SystemStats, { method: "GET", path: PATHS.systemStats }),
    objectInfo(classType) {
      const path = classType === undefined ? PATHS.objectInfo : `${PATHS.objectInfo}/${encodeURIComponent(classType)}`;
      return http.read(ObjectInfo, { method: "GET", path, timeoutMs: OBJECT_INFO_TIMEOUT_MS });
    },
    features: client.features,
    isReachable: ({ signal, withinMs } = {}) => isReachable(client, signal, withinMs ?? REACHABLE_WITHIN_MS),
    close: client.close,
  };
}

async function submit(submission: Submission, client: Client): Promise<Submitted> {
  const { http, lookUp, report, limits } = client;
  const socket = client.socket();
  await socket.settled(
    SOCKET_PATIENCE_MS,
    AbortSignal.any([http.closed, ...(submission.signal ? [submission.signal] : [])]),
  );
  const statusesBefore = client.router.statusCount;
  const needs = { http, clientId: socket.clientId, lookUp, report, submitTimeoutMs: limits.submitTimeoutMs };
  const submitted = await submitPrompt(submission, { ...needs, mintsIds: client.mintsIds() });
  if (submitted.promptId !== submission.promptId) client.noteMintedId();
  expectStatus(client, statusesBefore);
  return submitted;
}

async function readJob(promptId: string, client: Client, signal: AbortSignal | undefined): Promise<Job | undefined> {
  const { jobsApi } = await client.features();
  if (!jobsApi) return undefined;
  try {
    return await client.http.read(Job, {
      method: "GET",
      path: `${PATHS.jobs}/${encodeURIComponent(promptId)}`,
      signal,
    });
  } catch (error) {
    if (isComfyError(error, "not_found")) return undefined;
    throw error;
  }
}

/** A POST that is answered with 200 and nothing else. */
async function command({ http }: Client, call: Pick<Call, "path" | "json">): Promise<void> {
  const answer = await http.send({ method: "POST", ...call });
  if (answer.status !== 200) throw errorOfStatus(answer, `POST ${call.path}`);
}

/** `GET /prompt` is the cheapest question; a refused connection is death, a slow answer is only work (§3.1). */
async function isReachable({ http }: Client, signal: AbortSignal | undefined, withinMs: number): Promise<boolean> {
  try {
    const { status } = await http.send({ method: "GET", path: PATHS.prompt, signal, timeoutMs: withinMs });
    return status < 500;
  } catch (error) {
    signal?.throwIfAborted();
    return isComfyError(error, "busy");
  }
}
