import { isComfyError } from "./errors.ts";
import type { Dialect } from "./face.ts";
import type { Http } from "./http.ts";
import { HistoryAnswer, type HistoryEntry, PATHS } from "./wire/index.ts";

/** What the questions about a prompt need. */
export interface Asked {
  readonly http: Http;
  readonly dialect: Dialect;
  readonly signal?: AbortSignal | undefined;
  /** Of each question; the client's limit when absent. */
  readonly timeoutMs?: number | undefined;
}

/** The history entry of a finished prompt; undefined for every other id. */
export async function readHistory(
  promptId: string,
  { http, dialect, signal, timeoutMs }: Asked,
): Promise<HistoryEntry | undefined> {
  const path = `${dialect === "cloud" ? PATHS.cloudHistory : PATHS.history}/${encodeURIComponent(promptId)}`;
  try {
    const answer = await http.read(HistoryAnswer, { method: "GET", path, signal, timeoutMs });
    return answer[promptId];
  } catch (error) {
    if (isComfyError(error, "not_found")) return undefined; // Comfy Cloud's way to say it (§6.1)
    throw error;
  }
}
