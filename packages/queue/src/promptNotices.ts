import type { PromptOrigin } from "@comfyq/contract";

/**
 * What the websockets of a tenant hear, in the order in which it happened: whoever tells it writes on one connection, and
 * whoever hears it reads on one.
 */
export type PromptNotice =
  /** A prompt is queued. */
  | { readonly kind: "submitted"; readonly jobId: string; readonly clientId: string | null }
  /** A worker's ComfyUI begins with it. */
  | { readonly kind: "started"; readonly jobId: string }
  /** A job of the tenant has ended, whichever way it came in; its result can be read. */
  | { readonly kind: "ended"; readonly jobId: string }
  /** One frame of a prompt, as ComfyUI sent it: text, or bytes. */
  | { readonly kind: "frame"; readonly jobId: string; readonly frame: string | Uint8Array };

/** How many of the tenant's jobs had not ended then; undefined where it was not counted. */
export interface HeardNotice {
  readonly notice: PromptNotice;
  readonly openJobs: number | undefined;
}

export function submittedNotice(jobId: string, { client_id }: PromptOrigin): PromptNotice {
  return { kind: "submitted", jobId, clientId: client_id };
}

/** `<open jobs> <JSON>`; the scripts of Redis write the number. Bytes travel as base64. */
export function encodeNotice(notice: PromptNotice): string {
  const isBinary = notice.kind === "frame" && typeof notice.frame !== "string";
  if (!isBinary) return ` ${JSON.stringify(notice)}`;
  const { kind, jobId, frame } = notice;
  return ` ${JSON.stringify({ kind, jobId, base64: Buffer.from(frame).toString("base64") })}`;
}

/** Our own writing under a name of ours: parsed, not checked again. */
export function decodeNotice(text: string): HeardNotice {
  const space = text.indexOf(" ");
  const parsed = JSON.parse(text.slice(space + 1)) as PromptNotice & { readonly base64?: string };
  const { base64, ...notice } = parsed;
  const frame = base64 === undefined ? {} : { frame: Buffer.from(base64, "base64") };
  return {
    notice: { ...notice, ...frame } as PromptNotice, // put together as it was taken apart above
    openJobs: space > 0 ? Number(text.slice(0, space)) : undefined,
  };
}
