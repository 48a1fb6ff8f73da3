import { monotonicMs, sleep, withDeadline } from "@comfyq/runtime";
import { CliError } from "../CliError.ts";
import { RECOVERED_MS, restartDelayMs } from "./backoff.ts";
import { readChildLine } from "./childLine.ts";
import type { LogFile } from "./logFile.ts";
import { type ChildCommand, type ReadyFacts, type Run, startRun } from "./startRun.ts";

/** How to start one process, and how to know that it is up. */
export interface ChildPlan<Ready> {
  readonly name: string;
  /** Asked at every start: what the last one learnt (a port) may change the next. */
  readonly command: () => ChildCommand;
  /** Resolves when this run of it is up; `readyLine` is what it printed on standard output, if it ever does. */
  readonly untilReady: (readyLine: Promise<ReadyFacts>, signal: AbortSignal) => Promise<Ready>;
  /** Longest it may take to be up, in ms. */
  readonly readyWithinMs: number;
}

/** What a human may want to see. */
export type ChildEvent =
  | { readonly kind: "line"; readonly name: string; readonly isWarning: boolean; readonly text: string }
  | { readonly kind: "died"; readonly name: string; readonly how: string; readonly restartInMs: number }
  | { readonly kind: "back"; readonly name: string };

/** A process that is kept running. */
export interface Supervised<Ready> {
  readonly name: string;
  /** The first start: what `untilReady` gave. Rejects with a CliError when that failed; then it is not started again. */
  readonly ready: Promise<Ready>;
  /** The process of this moment; undefined between two. */
  readonly pid: () => number | undefined;
  /** Asks it to end, and kills it after `withinMs`. Safe to repeat, also with less patience. */
  readonly stop: (withinMs: number) => Promise<void>;
}

/** How many lines of a process that could not start are shown. */
const LAST_WORDS = 15;

/** Starts a process and starts it again, ever more slowly, whenever it dies without being asked to. */
export function superviseChild<Ready>(
  plan: ChildPlan<Ready>,
  log: LogFile,
  onEvent: (event: ChildEvent) => void,
): Supervised<Ready> {
  const stopping = new AbortController();
  const first = Promise.withResolvers<Ready>();
  first.promise.catch(() => undefined); // who stops us before it is up need not ask how that went
  const watch: Watch<Ready> = { plan, log, onEvent, stopping: stopping.signal, first, run: undefined };
  const over = keepRunning(watch);
  return {
    name: plan.name,
    ready: first.promise,
    pid: () => watch.run?.child.pid,
    async stop(withinMs) {
      stopping.abort(new Error("it was asked to stop"));
      watch.run?.child.kill(withinMs > 0 ? "SIGTERM" : "SIGKILL");
      const isOver = await Promise.race([over.then(() => true), sleep(withinMs).then(() => false)]);
      if (!isOver) watch.run?.child.kill("SIGKILL");
      await over;
    },
  };
}

interface Watch<Ready> {
  readonly plan: ChildPlan<Ready>;
  readonly log: LogFile;
  readonly onEvent: (event: ChildEvent) => void;
  readonly stopping: AbortSignal;
  readonly first: PromiseWithResolvers<Ready>;
  run: Run | undefined;
}

/** Ends when we stop, or when the first life of the process ended before it was up. */
async function keepRunning<Ready>(watch: Watch<Ready>): Promise<void> {
  const { plan, onEvent, stopping, first } = watch;
  const { name } = plan;
  let wasUp = false;
  let deaths = 0;
  while (!stopping.aborted) {
    const startedAtMs = monotonicMs();
    watch.run = startLogged(watch);
    untilUp(plan, watch.run, stopping).then(
      (ready) => {
        if (wasUp) onEvent({ kind: "back", name });
        first.resolve(ready); // without effect but for the first time, like reject
        wasUp = true;
      },
      (cause) => first.reject(couldNotStart(watch, cause)),
    );
    const how = await watch.run.ended;
    watch.run = undefined;
    if (stopping.aborted || !wasUp) return;
    deaths = monotonicMs() - startedAtMs > RECOVERED_MS ? 1 : deaths + 1;
    const restartInMs = restartDelayMs(deaths);
    onEvent({ kind: "died", name, how, restartInMs });
    await sleep(restartInMs, stopping).catch(() => undefined);
  }
}

function startLogged<Ready>({ plan, log, onEvent }: Watch<Ready>): Run {
  return startRun(plan.command(), (line, meaning) => {
    log.write(line);
    if (meaning.kind === "log") onEvent({ ...meaning, kind: "line", name: plan.name });
  });
}

/** Waits for a run to be up; rejects when it ends first, when time is up, or when we stop. */
async function untilUp<Ready>(plan: ChildPlan<Ready>, run: Run, stopping: AbortSignal): Promise<Ready> {
  const late = new Error(`it was not ready within ${plan.readyWithinMs / 1_000} s`);
  const signal = withDeadline(stopping, plan.readyWithinMs, late);
  const cut = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  const endedFirst = run.ended.then((how) => Promise.reject(new Error(`it ${how}`)));
  return Promise.race([plan.untilReady(run.readyLine, signal), cut, endedFirst]);
}

function couldNotStart<Ready>({ plan, log }: Watch<Ready>, cause: unknown): CliError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const said = log.tail().flatMap((line) => {
    const meaning = readChildLine(line, "stderr");
    return meaning.kind === "log" ? [meaning] : [];
  });
  const warnings = said.filter(({ isWarning }) => isWarning);
  const shown = (warnings.length > 0 ? warnings : said).slice(-LAST_WORDS).map(({ text }) => `  ${text}`);
  const lines = [`${plan.name} could not start: ${why}.`, ...shown, `All of it: ${log.path}`];
  return new CliError("broken", lines.join("\n"), { cause });
}
