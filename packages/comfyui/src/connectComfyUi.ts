import { cancelPrompt } from "./cancelPrompt.ts";
import { Client } from "./client.ts";
import { isComfyError } from "./errors.ts";
import type { ComfyUi, ConnectOptions, OverheardFrame } from "./face.ts";
import { type Call, errorOfStatus } from "./http.ts";
import { readQueue } from "./lookUp.ts";
import { readFinished, readHistory } from "./readHistory.ts";
import { readJob } from "./readJob.ts";
import { readModelFolders, readModels } from "./readModels.ts";
import { readObjectInfo } from "./readObjectInfo.ts";
import { seekPrompt } from "./seekPrompt.ts";
import { submitPrompt } from "./submitPrompt.ts";
import { uploadFile } from "./uploadFile.ts";
import { fileSize, viewFile } from "./viewFile.ts";
import { watchPrompt } from "./watchPrompt.ts";
import { PATHS, SystemStats } from "./wire/index.ts";

const REACHABLE_WITHIN_MS = 5_000;

/**
 * Stands for one ComfyUI server, local or Comfy Cloud. Opens nothing by itself: HTTP connections are made by the calls,
 * the WebSocket by the first `submit` or `watch`, and `close` ends them all.
 * @throws ComfyError `unreachable` when the URL is not an http(s) URL
 */
export function connectComfyUi(options: ConnectOptions): ComfyUi {
  const client = new Client(options);
  const { http, address } = client;
  const { dialect } = address;

  return {
    submit: (submission) => submitPrompt(submission, client),
    find: (promptId, { signal } = {}) => client.lookUp(promptId, signal),
    watch: (promptId, watching) => watchPrompt(promptId, watching, client),
    overhear: (promptId, hear) => overhear(client, promptId, hear),
    cancel: (promptId, cancelling) => cancelPrompt(promptId, cancelling, client),
    upload: (upload) => uploadFile(upload, client),
    view: (file, options = {}) => viewFile(file, http, options),
    sizeOf: async (file, { signal } = {}) => (dialect === "local" ? fileSize(file, http, signal) : undefined),
    forget: (promptId) => command(client, { path: PATHS.history, json: { delete: [promptId] } }),
    queue: ({ signal } = {}) => readQueue({ http, signal }),
    history: (promptId, { signal } = {}) => readHistory(promptId, { http, dialect, signal }),
    finished: (limit, { signal } = {}) => readFinished(limit, { http, dialect, signal }),
    seek: (isWanted, { signal } = {}) => seekPrompt(isWanted, { http, dialect, signal }),
    async job(promptId, { signal } = {}) {
      const { jobsApi } = await client.features();
      return jobsApi ? readJob(promptId, { http, dialect, signal }) : undefined;
    },
    async free({ unloadModels = false, freeMemory = false }) {
      if (dialect === "cloud") return; // nothing of ours is held there
      await command(client, { path: PATHS.free, json: { unload_models: unloadModels, free_memory: freeMemory } });
    },
    stats: () => http.read(SystemStats, { method: "GET", path: PATHS.systemStats }),
    objectInfo: (classType) => readObjectInfo(classType, { http, ...client.limits }),
    modelFolders: ({ signal } = {}) => readModelFolders({ http, signal }),
    models: (folder, { signal } = {}) => readModels(folder, { http, signal }),
    features: () => client.features(),
    isReachable: ({ signal, withinMs } = {}) => isReachable(client, signal, withinMs ?? REACHABLE_WITHIN_MS),
    close: () => client.close(),
  };
}

/** A POST that is answered with 200 and nothing else. */
async function command({ http }: Client, call: Pick<Call, "path" | "json">): Promise<void> {
  const answer = await http.send({ method: "POST", ...call });
  if (answer.status !== 200) throw errorOfStatus(answer, `POST ${call.path}`);
}

function overhear({ router }: Client, promptId: string, hear: (frame: OverheardFrame) => void): () => void {
  return router.overhear(promptId, (frame) => {
    if (frame.type === "status" || frame.type === "gap") return;
    hear(frame.type === "preview" || frame.type === "node_text" ? frame.bytes : frame);
  });
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
