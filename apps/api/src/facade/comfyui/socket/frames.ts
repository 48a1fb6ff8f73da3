import type { JobFacts } from "@comfyq/contract";
import { statusOf } from "../promptHistory.ts";

/** A text frame, as it is sent. */
export function textFrame(type: string, data: unknown): string {
  return JSON.stringify({ type, data });
}

export function statusFrame(openJobs: number, sid?: string): string {
  const status = { exec_info: { queue_remaining: openJobs } };
  return textFrame("status", { status, ...(sid === undefined ? {} : { sid }) });
}

/** The end marker: history is ready when this comes. */
export function endFrame(jobId: string): string {
  return textFrame("executing", { node: null, prompt_id: jobId });
}

/** What a client must hear of a job that ended without a word of ComfyUI's. */
export function endingOf(facts: JobFacts, wasBegun: boolean): readonly string[] {
  const messages = statusOf(facts).messages.map(([type, data]) => textFrame(type, data));
  return wasBegun ? messages.slice(-1) : messages;
}

/** The kind of a text frame, of those that we write ourselves: the type comes first. */
export function typeOf(frame: string): string {
  return /^\{"type":"([\w.]+)"/.exec(frame)?.[1] ?? "";
}

/** Does it end a prompt? The error of an execution blocker does not. */
export function endsPrompt(frame: string): boolean {
  const type = typeOf(frame);
  if (type === "execution_error") return !frame.includes('"exception_type":"ExecutionBlocked"');
  return type === "execution_success" || type === "execution_interrupted";
}
