import type { JobFacts } from "@comfyq/contract";
import { withFlatNames } from "../../cloud/flatNames.ts";
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

/** The same frame with one name for each file, if it tells of any. */
export function withCloudNames(frame: string): string {
  if (typeOf(frame) !== "executed") return frame;
  const { type, data } = JSON.parse(frame) as { type: string; data: { prompt_id?: unknown } }; // as workers write them
  return textFrame(type, withFlatNames(String(data.prompt_id), data));
}

/** Does it end a prompt? The error of an execution blocker does not. */
export function endsPrompt(frame: string): boolean {
  const type = typeOf(frame);
  if (type === "execution_error") return !frame.includes('"exception_type":"ExecutionBlocked"');
  return type === "execution_success" || type === "execution_interrupted";
}
