import { isComfyError } from "./errors.ts";
import type { FinishedPrompt, Found } from "./face.ts";
import { type Asked, readHistory } from "./readHistory.ts";
import { readJob } from "./readJob.ts";
import {
  CloudHistoryList,
  CloudJobStatus,
  ExecutionError,
  type HistoryEntry,
  type HistoryMessage,
  type Job,
  PATHS,
  parseJson,
} from "./wire/index.ts";

/** What a raw state of `GET /api/job/{id}/status` means; every other state is some kind of running (§6.1). */
const STATES: Readonly<Record<string, "pending" | "success" | "failed" | "lost" | "cancelled">> = {
  submitted: "pending",
  queued_limited: "pending",
  queued_waiting: "pending",
  waiting_to_dispatch: "pending",
  pending: "pending",
  success: "success",
  completed: "success",
  error: "failed",
  failed: "failed",
  non_retryable_error: "failed",
  lost: "lost",
  cancelled: "cancelled",
};

/**
 * Where a prompt is on Comfy Cloud: the status endpoint decides, history brings the outputs. Where history is silent
 * about a failure, its entry is written here from what the status says, so that callers read one shape.
 */
export async function lookUpOnCloud(promptId: string, asked: Asked): Promise<Found> {
  const job = await readStatus(promptId, asked);
  if (!job) return { kind: "unknown" };
  const state = STATES[job.status];
  if (state === undefined) return { kind: "running" };
  if (state === "pending") return { kind: "pending" };
  if (state === "lost") return { kind: "unknown" };
  const entry = (await readHistory(promptId, asked)) ?? entryOf(await readJob(promptId, asked));
  if (state === "success") return entry ? { kind: "finished", entry: withSuccess(entry) } : { kind: "running" }; // not readable yet
  return {
    kind: "finished",
    entry: withEnding(promptId, entry, state === "cancelled" ? cancelled : failed(job.error_message)),
  };
}

/** The jobs API has the outputs too, for when the deprecated history has gone. */
function entryOf(job: Job | undefined): HistoryEntry | undefined {
  return job?.outputs && { outputs: job.outputs, status: job.execution_status };
}

/** The status endpoint has said so; the jobs API may have no timeline. */
function withSuccess(entry: HistoryEntry): HistoryEntry {
  return entry.status ? entry : { ...entry, status: { status_str: "success", completed: true, messages: [] } };
}

/** The newest finished prompts of the account, at most so many. */
export async function readFinishedOnCloud(limit: number, { http, signal }: Asked): Promise<readonly FinishedPrompt[]> {
  const query = { max_items: String(limit) };
  const { history } = await http.read(CloudHistoryList, { method: "GET", path: PATHS.cloudHistory, query, signal });
  return history.map(({ prompt_id, prompt }) => ({ promptId: prompt_id, extraData: prompt?.extra_data ?? {} }));
}

async function readStatus(promptId: string, { http, signal, timeoutMs }: Asked): Promise<CloudJobStatus | undefined> {
  const path = `${PATHS.cloudJob}/${encodeURIComponent(promptId)}/status`;
  try {
    return await http.read(CloudJobStatus, { method: "GET", path, signal, timeoutMs });
  } catch (error) {
    if (isComfyError(error, "not_found")) return undefined;
    throw error;
  }
}

interface Ending {
  readonly message: "execution_interrupted" | "execution_error";
  readonly fields: Readonly<Record<string, unknown>>;
}

const cancelled: Ending = { message: "execution_interrupted", fields: { node_id: "", node_type: "", executed: [] } };

/** `error_message` is a text, or the whole `execution_error` payload as a JSON text (§6.1). */
function failed(errorMessage: string | null | undefined): Ending {
  const text = errorMessage ?? "Comfy Cloud gave no reason";
  const plain = {
    node_id: "",
    node_type: "",
    executed: [],
    exception_type: "",
    traceback: [],
    exception_message: text,
  };
  return { message: "execution_error", fields: { ...plain, ...parseFields(text) } };
}

function parseFields(text: string): Readonly<Record<string, unknown>> {
  try {
    return ExecutionError.partial().safeParse(parseJson(text)).data ?? {};
  } catch {
    return {};
  }
}

function withEnding(promptId: string, entry: HistoryEntry | undefined, { message, fields }: Ending): HistoryEntry {
  const messages = entry?.status?.messages ?? [];
  const isTold = messages.some(([name]) => name === "execution_error" || name === "execution_interrupted");
  if (entry && isTold) return entry;
  const ending: HistoryMessage = [message, { prompt_id: promptId, ...fields }];
  const status = { status_str: "error", completed: false, messages: [...messages, ending] };
  return { ...entry, outputs: entry?.outputs ?? {}, status };
}
