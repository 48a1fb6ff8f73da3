import { isTerminal, type JobStatus } from "@comfyq/contract";
import type { Line, LineOf, Op } from "../history.ts";
import { type Stay, staysIn } from "./stays.ts";

/** A history, sorted into what the invariants ask for. */
export interface Facts {
  readonly lines: readonly Line[];
  /** Moment of the last line. */
  readonly endMs: number;
  /** All lines of one op, in order. */
  of<Name extends Op>(op: Name): readonly LineOf<Name>[];
  /** All lines of one op about one job. */
  about<Name extends JobOp>(job: string, op: Name): readonly LineOf<Name>[];
  /** Every job that was answered with 2xx, by the first such answer. */
  readonly accepted: readonly LineOf<"accepted">[];
  readonly stays: readonly Stay[];
  staysOf(job: string): readonly Stay[];
}

type JobOp = Extract<Line, { job: string }>["op"];

/** @param lines in the order of their moments */
export function readFacts(lines: readonly Line[]): Facts {
  const byOp = Map.groupBy(lines, ({ op }) => op);
  const byJob = Map.groupBy(lines, (line) => ("job" in line ? `${line.job} ${line.op}` : ""));
  const stays = staysIn(lines);
  const staysByJob = Map.groupBy(stays, ({ job }) => job);
  const of = <Name extends Op>(op: Name) => (byOp.get(op) ?? []) as LineOf<Name>[]; // grouped by exactly this
  const first = new Map(
    of("accepted")
      .toReversed()
      .map((line) => [line.job, line]),
  );
  return {
    lines,
    endMs: lines.at(-1)?.t ?? 0,
    of,
    about: <Name extends JobOp>(job: string, op: Name) => (byJob.get(`${job} ${op}`) ?? []) as LineOf<Name>[], // likewise
    accepted: [...first.values()].toReversed(),
    stays,
    staysOf: (job) => staysByJob.get(job) ?? [],
  };
}

/** Somebody learned, or decided, that a job has ended. */
export interface EndSeen {
  readonly status: JobStatus;
  readonly line: Line;
}

/** Every sign that a job has ended, from all who may know: its worker, the API's readers, watchers, receivers. */
export function endsSeen(facts: Facts, job: string): readonly EndSeen[] {
  const seen: EndSeen[] = [];
  for (const line of facts.about(job, "settled")) {
    const status = line.ended ? statusOf(line) : undefined;
    if (status) seen.push({ status, line });
  }
  for (const line of facts.about(job, "observed"))
    if (line.status !== "gone" && isTerminal(line.status)) seen.push({ status: line.status, line });
  for (const line of facts.about(job, "terminal")) seen.push({ status: line.status, line });
  for (const line of facts.about(job, "received")) {
    const status = TOLD[line.type];
    if (status) seen.push({ status, line });
  }
  return seen.toSorted((a, b) => a.line.t - b.line.t);
}

/** The status a worker's outcome leaves the job in; undefined when it goes on. */
function statusOf({ outcome, code }: LineOf<"settled">): JobStatus | undefined {
  if (outcome === "succeeded") return "succeeded";
  if (outcome !== "failed") return undefined;
  return code === "canceled" || code === "expired" ? code : "failed";
}

const TOLD: Readonly<Partial<Record<LineOf<"received">["type"], JobStatus>>> = {
  "job.succeeded": "succeeded",
  "job.failed": "failed",
  "job.canceled": "canceled",
  "job.expired": "expired",
};

/** A span of time, in Unix ms. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The spans of those faults that fit; one that was never healed lasts to the end. */
export function faultSpans(
  facts: Facts,
  fits: (fault: LineOf<"fault">) => boolean,
): readonly (Span & { readonly fault: LineOf<"fault"> })[] {
  const healedAtMs = new Map(facts.of("healed").map(({ id, t }) => [id, t]));
  return facts
    .of("fault")
    .filter(fits)
    .map((fault) => ({ fault, fromMs: fault.t, toMs: healedAtMs.get(fault.id) ?? facts.endMs }));
}

/** How much of `span` no other span covers, in ms. */
export function uncovered(span: Span, others: readonly Span[]): number {
  let leftMs = 0;
  let atMs = span.fromMs;
  for (const other of others.toSorted((a, b) => a.fromMs - b.fromMs)) {
    if (other.toMs <= atMs || other.fromMs >= span.toMs) continue;
    leftMs += Math.max(0, other.fromMs - atMs);
    atMs = Math.max(atMs, other.toMs);
  }
  return leftMs + Math.max(0, span.toMs - atMs);
}
