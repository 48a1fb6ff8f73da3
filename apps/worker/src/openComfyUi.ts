import { type ComfyUi, connectComfyUi } from "@comfyq/comfyui";
import { comfyUiAccess, createSafeFetch, isSentInTheClear, type Logger } from "@comfyq/runtime";
import type { WorkerConfig } from "./config.ts";

/** A cloud that cannot be reached renders on; a ComfyUI that cannot be is mostly dead. */
const CLOUD_UNREACHABLE_MS = 600_000;
/** Of a file that is fetched from where a cloud redirects to. */
const FILE_TIMEOUT_MS = 6 * 3_600_000;
const FILE_IDLE_MS = 60_000;

/** The client of this worker's ComfyUI. What it redirects to is fetched as any address that a stranger wrote. */
export function openComfyUi(config: WorkerConfig, log: Logger): ComfyUi {
  const fetchFile = createSafeFetch({
    allowHosts: config.COMFYQ_ALLOW_HOSTS,
    maxBytes: Number.MAX_SAFE_INTEGER,
    timeoutMs: FILE_TIMEOUT_MS,
    idleTimeoutMs: FILE_IDLE_MS,
  });
  const access = comfyUiAccess(config.COMFYUI_URL, config);
  if (access.apiKey !== undefined && isSentInTheClear(config.COMFYUI_URL))
    log.warn("the key of this ComfyUI crosses the network in the clear; give its address with https://");
  return connectComfyUi({
    url: config.COMFYUI_URL,
    ...access,
    ...(config.isCloud && { unreachableMs: CLOUD_UNREACHABLE_MS * config.timeScale }),
    fetchElsewhere: (url, request) => fetchFile(url, request),
    onEvent: (event) => log.debug({ event }, "comfyui"),
  });
}
