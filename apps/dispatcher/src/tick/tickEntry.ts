import { type Tick, toMoment } from "@comfyq/contract";
import { ruleKey, type TickEntry } from "@comfyq/queue";

interface EntryFacts extends Pick<Tick, "outcome"> {
  readonly atMs: number;
  readonly decidedAtMs: number;
  readonly jobId?: string;
  readonly canceled?: readonly string[];
  readonly count?: number;
  readonly reason?: string;
}

/** What stands in a schedule's history about one of its moments. */
export function tickEntry(facts: EntryFacts): TickEntry {
  const { atMs, decidedAtMs, outcome, jobId, canceled = [], count = 1, reason } = facts;
  const [tick_at, decided_at] = [toMoment(atMs), toMoment(decidedAtMs)];
  const known = { tick_at, decided_at, trigger: "rule", outcome } as const;
  const tick: Tick = { ...known, job_id: jobId ?? null, canceled: [...canceled], count, reason: reason ?? null };
  return { atMs, key: ruleKey(atMs), tick };
}
