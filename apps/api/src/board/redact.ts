import { JobFailure } from "@comfyq/contract";
import { stripUrl } from "@comfyq/runtime";

/** Fields of our BullJobs that an operator may see; everything else of a payload is the customer's. */
const SHOWN_DATA = ["tenant", "jobId", "type", "what", "errand", "schedule"] as const;

/** A payload as Bull Board may show it. */
function redactData(payload: unknown): Record<string, unknown> {
  if (typeof payload !== "object" || payload === null) return {};
  const fields = payload as Record<string, unknown>; // an object, see above
  const shown = Object.fromEntries(SHOWN_DATA.filter((name) => name in fields).map((name) => [name, fields[name]]));
  const { url } = fields;
  return typeof url === "string" ? { ...shown, url: stripUrl(url) } : shown;
}

/** A result as Bull Board may show it: how much there is, not what. */
function redactResult(result: unknown): Record<string, unknown> {
  if (typeof result !== "object" || result === null) return {};
  const { epoch, outputs } = result as { epoch?: unknown; outputs?: unknown }; // a manifest, or nothing of ours
  return { ...(typeof epoch === "number" && { epoch }), ...(Array.isArray(outputs) && { outputs: outputs.length }) };
}

/** Why something failed, without a word of a customer's: our codes, or the queue's own text with its URLs stripped. */
function redactReason(reason: string): string {
  try {
    const { code, blame } = JobFailure.parse(JSON.parse(reason));
    return `${code} (${blame})`;
  } catch {
    return reason.replace(/\bhttps?:\/\/[^\s"'<>]+/g, stripUrl).slice(0, 500);
  }
}

/** What Bull Board answers, cleaned wherever a job stands in it: lists, single jobs, flows, schedulers. */
export function redactAnswer(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactAnswer);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).flatMap(([name, inner]) => redactField(name, inner)));
}

const REASONS = ["failedReason", "deferredFailure", "ignoredChildFailureReasons"];

function redactField(name: string, inner: unknown): readonly (readonly [string, unknown])[] {
  if (name === "data" || name === "template") return [[name, redactData(inner)]];
  if (name === "returnValue" || name === "returnvalue") return [[name, redactResult(inner)]];
  if (name === "progress") return [[name, typeof inner === "number" ? inner : 0]];
  if (name === "stacktrace") return [[name, []]]; // repeats the reason, and paths of our code
  if (name === "logs") return [[name, []]];
  if (!REASONS.includes(name)) return [[name, redactAnswer(inner)]];
  if (typeof inner === "string") return [[name, redactReason(inner)]];
  if (typeof inner !== "object" || inner === null) return [];
  return [[name, Object.fromEntries(Object.entries(inner).map(([key, text]) => [key, redactReason(String(text))]))]];
}
