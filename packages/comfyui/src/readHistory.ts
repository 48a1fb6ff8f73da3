import { isComfyError } from "./errors.ts";
import type { Dialect, FinishedPrompt } from "./face.ts";
import type { Http } from "./http.ts";
import { HistoryAnswer, type HistoryEntry, HistoryPrompt, PATHS } from "./wire/index.ts";

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

/** The newest finished prompts, at most so many; none on Comfy Cloud, which does not show what came with them. */
export async function readFinished(
  limit: number,
  { http, dialect, signal }: Asked,
): Promise<readonly FinishedPrompt[]> {
  if (dialect === "cloud") return [];
  const query = { max_items: String(limit) };
  const answer = await http.read(HistoryAnswer, { method: "GET", path: PATHS.history, query, signal });
  return Object.entries(answer).map(([promptId, entry]) => ({
    promptId,
    extraData: HistoryPrompt.safeParse(entry.prompt).data?.[3] ?? {},
  }));
}
