import { JobErrorCode, JobStatus, WebhookEventType } from "@comfyq/contract";
import * as z from "zod";

/*
 * The vocabulary of a history: what each actor of a run may note, one JSON line each. `t` is in Unix ms of one machine;
 * `actor` is a process id for the product, `simulator:<port>` for a simulator, a plain word for the harness.
 */

const base = { t: z.number(), actor: z.union([z.number(), z.string()]) };

/** What every line of a worker says about the attempt it is at. */
const attempt = { ...base, job: z.string(), epoch: z.int(), instance: z.string().optional() };
const named = { ...attempt, prompt: z.string() };
/** What a simulator says of a prompt; job and epoch only when it is one of ours (a canary is not). */
const prompt = { ...base, prompt: z.string(), job: z.string().nullish(), epoch: z.int().nullish() };
const stored = { key: z.string(), sha256: z.string(), size: z.int() };

const LINES = [
  // The worker: its fail points K1…K11, noted just before they may strike, and what it decided.
  z.object({ ...attempt, op: z.literal("claimed") }),
  z.object({ ...named, op: z.literal("journaled") }),
  z.object({ ...named, op: z.literal("submitted"), asked: z.string().optional() }),
  z.object({ ...named, op: z.literal("rejoined") }),
  z.object({ ...attempt, op: z.literal("output_stored"), ...stored }),
  z.object({ ...attempt, op: z.literal("sealed"), won: z.boolean() }),
  z.object({
    ...attempt,
    op: z.literal("settled"),
    outcome: z.string(),
    code: JobErrorCode.nullish(),
    ended: z.boolean(),
  }),
  z.object({ ...attempt, op: z.literal("fenced") }),

  // The simulators.
  z.object({ ...base, op: z.literal("booted") }),
  z.object({ ...base, op: z.literal("crashed") }),
  z.object({ ...prompt, op: z.literal("queued"), dialect: z.string().optional() }),
  z.object({ ...prompt, op: z.literal("started") }),
  z.object({ ...prompt, op: z.literal("ended"), status: z.string() }),
  z.object({ ...prompt, op: z.literal("removed") }),

  // The harness as customers. `sizes`: of the files this job must have when it succeeds, in bytes, smallest first.
  z.object({
    ...base,
    op: z.literal("accepted"),
    job: z.string(),
    tenant: z.string(),
    kind: z.string(),
    webhook: z.boolean(),
    sizes: z.array(z.int()),
  }),
  z.object({ ...base, op: z.literal("refused"), kind: z.string(), status: z.int() }),
  z.object({
    ...base,
    op: z.literal("observed"),
    job: z.string(),
    status: z.union([JobStatus, z.literal("gone")]),
    code: JobErrorCode.nullish(),
    /** When the question was sent: `t` is the answer's moment. */
    asked: z.number(),
  }),
  z.object({ ...base, op: z.literal("cancel_asked"), job: z.string(), status: z.int() }),
  z.object({
    ...base,
    op: z.literal("progress"),
    job: z.string(),
    watcher: z.string(),
    attempt: z.int(),
    value: z.number(),
  }),
  z.object({ ...base, op: z.literal("watching"), job: z.string(), watcher: z.string(), after: z.string().nullable() }),
  z.object({ ...base, op: z.literal("terminal"), job: z.string(), watcher: z.string(), status: JobStatus }),
  z.object({
    ...base,
    op: z.literal("peek"),
    job: z.string(),
    owner: z.string(),
    by: z.string(),
    what: z.string(),
    status: z.int(),
    found: z.boolean(),
  }),
  z.object({
    ...base,
    op: z.literal("received"),
    job: z.string(),
    event: z.string(),
    type: WebhookEventType,
    bodySha: z.string(),
    genuine: z.boolean(),
    /** What the receiver answered; 0 when it hung up. */
    status: z.int(),
  }),

  // The harness as operating system and nemesis. `simulator`, `worker`: whom a fault cuts off or breaks, where it is one.
  z.object({ ...base, op: z.literal("round"), seed: z.int(), round: z.int(), breaks: z.string() }),
  z.object({ ...base, op: z.literal("process_started"), pid: z.int(), name: z.string(), kind: z.string() }),
  z.object({
    ...base,
    op: z.literal("process_ended"),
    pid: z.int(),
    name: z.string(),
    kind: z.string(),
    wanted: z.boolean(),
  }),
  z.object({
    ...base,
    op: z.literal("fault"),
    id: z.int(),
    kind: z.string(),
    target: z.string(),
    simulator: z.string().optional(),
  }),
  z.object({ ...base, op: z.literal("healed"), id: z.int() }),

  // What is left when everything has become quiet.
  z.object({ ...base, op: z.literal("quiesced"), waitedMs: z.number() }),
  z.object({ ...base, op: z.literal("object"), job: z.string(), ...stored, storedAt: z.number() }),
  z.object({
    ...base,
    op: z.literal("manifest"),
    job: z.string(),
    epoch: z.int(),
    outputs: z.array(z.object(stored)),
  }),
  z.object({ ...base, op: z.literal("baseline"), what: z.string(), found: z.number(), allowed: z.number() }),
] as const;

const Line = z.discriminatedUnion("op", LINES);
export type Line = z.infer<typeof Line>;
export type Op = Line["op"];
/** The lines of one kind. */
export type LineOf<Name extends Op> = Extract<Line, { op: Name }>;

const KNOWN: ReadonlySet<string> = new Set(LINES.flatMap((line) => [...line.shape.op.values]));

/** An op in the shape the checker needs, without `t` and `actor`. */
export type Note = Line extends infer Each ? (Each extends Line ? Omit<Each, "t" | "actor"> : never) : never;

/**
 * Reads a history in the order of its moments. Ops that no invariant is about are left out.
 * @throws Error naming the line, when a known op lacks something: a check over half a line would prove nothing
 */
export function parseHistory(text: string): readonly Line[] {
  const lines = text.split("\n").flatMap((line, at) => parseLine(line, at + 1));
  return lines.toSorted((a, b) => a.t - b.t);
}

function parseLine(text: string, number: number): readonly Line[] {
  if (text === "") return [];
  try {
    const value: unknown = JSON.parse(text);
    const op = z.object({ op: z.string() }).parse(value).op;
    return KNOWN.has(op) ? [Line.parse(value)] : [];
  } catch (cause) {
    throw new Error(`line ${number} of the history is not of its vocabulary: ${text.slice(0, 300)}`, { cause });
  }
}
