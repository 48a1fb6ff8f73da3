import { cleanText } from "./cleanLine.ts";
import { monotonicMs, withDeadline } from "./clock.ts";

/** How long one answer of `ready()` serves, so that probes cannot load what they ask about. */
const CACHE_MS = 1_000;
/** Longest one check may take. */
const CHECK_MS = 2_000;

/** Says why not by throwing; a string it returns (or a promise of one) is shown with a state that is fine. */
export type ReadinessCheck = (signal: AbortSignal) => unknown;

/** The state of one check. */
export interface CheckResult {
  readonly ok: boolean;
  readonly message?: string;
}

/** The states of all checks; `ok` when each is. */
export interface Readiness {
  readonly ok: boolean;
  readonly checks: Readonly<Record<string, CheckResult>>;
}

/** What a process answers to "are you alive?" and "can you work?". */
export interface Health {
  /** Adds a named check; a name used again replaces the check. */
  add(name: string, check: ReadinessCheck): void;
  /** Alive: this answers, so the event loop turns. Says nothing of Redis and others: a restart would not mend them. */
  live(): { readonly ok: true };
  /** Runs all checks at once, 2 s each at most; never rejects. Answers are kept for 1 s and shared by those who ask. */
  ready(): Promise<Readiness>;
}

/** Health without checks is ready. */
export function createHealth(): Health {
  const checks = new Map<string, ReadinessCheck>();
  let latest: { readonly answer: Promise<Readiness>; readonly askedAtMs: number } | undefined;
  return {
    add(name, check) {
      checks.set(name, check);
      latest = undefined;
    },
    live: () => ({ ok: true }),
    ready() {
      if (!latest || monotonicMs() - latest.askedAtMs > CACHE_MS) {
        latest = { answer: runAll(checks), askedAtMs: monotonicMs() };
      }
      return latest.answer;
    },
  };
}

async function runAll(checks: ReadonlyMap<string, ReadinessCheck>): Promise<Readiness> {
  const results = await Promise.all([...checks].map(async ([name, check]) => [name, await run(check)] as const));
  return { ok: results.every(([, { ok }]) => ok), checks: Object.fromEntries(results) };
}

async function run(check: ReadinessCheck): Promise<CheckResult> {
  const signal = withDeadline(undefined, CHECK_MS, new Error(`no answer within ${CHECK_MS} ms`));
  try {
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    const message = await Promise.race([Promise.resolve(signal).then(check), late]);
    return typeof message === "string" ? { ok: true, message: cleanText(message) } : { ok: true };
  } catch (error) {
    return { ok: false, message: cleanText(error instanceof Error ? error.message : String(error)) };
  }
}
