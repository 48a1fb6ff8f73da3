import { every, monotonicMs, sleep, withDeadline } from "./clock.ts";
import { readSwitches } from "./env.ts";
import type { Logger } from "./logger.ts";
import { runStopSteps, type StopEvent, type StopStep } from "./stopSteps.ts";

/** One process that runs until it is told to stop. */
export interface Service {
  readonly name: string;
  /** Aborts the moment stopping starts, before the first stop step runs. */
  readonly signal: AbortSignal;
  /**
   * Adds a step of stopping. Steps run one after another, the last added first; one that throws does not keep the others
   * from running, but makes the exit code 1. A step added while stopping is the next one.
   * @param fn its signal aborts a little before the deadline: then it ends at once, for the others need time too
   */
  onStop(name: string, fn: StopStep["fn"]): void;
  /** Starts stopping from within: clean (a string, exit code 0) or as a failure (an Error, exit code 1). Safe to repeat. */
  stop(why: string | Error): void;
}

/** What `runService` needs. */
export interface ServiceOptions {
  readonly name: string;
  readonly logger: Logger;
  /** Hard deadline of all stop steps together, in ms; then the process exits with code 1, naming the step that hung. */
  readonly stopWithinMs: number;
  /** Builds everything, registers it with `onStop` and returns when the service is up. */
  readonly start: (service: Service) => Promise<void>;
}

/** How often the parent is looked at. */
const PARENT_MS = 1_000;

/** A Ctrl-C often arrives twice, from the terminal and from the parent: only one this much later is a second one. */
const SECOND_SIGINT_MS = 500;

/**
 * Runs this process as a service: starts it, keeps it alive, and stops it in order on SIGTERM, SIGINT, SIGHUP (a closed
 * terminal), an error that nobody caught, a failed start, `service.stop`, or, with COMFYQ_DIE_WITH_PARENT=1, its
 * parent's death. A second SIGINT exits at once; other repeated signals change nothing, for a launcher's SIGTERM follows
 * a Ctrl-C. Then the process exits: code 0 after a clean stop, else 1. Call it once, from main.ts.
 *
 * By hand, since close-with-grace exits at once on any second signal and on any second error.
 * @returns a promise that resolves when `start` has ended, well or not
 */
export async function runService({ name, logger, stopWithinMs, start }: ServiceOptions): Promise<void> {
  const stopping = new AbortController();
  const steps: StopStep[] = [];
  const stopOnce = stopper({ log: logger, steps, stopping, stopWithinMs });
  const service: Service = {
    name,
    signal: stopping.signal,
    onStop: (step, fn) => void steps.push({ name: step, fn }),
    stop: (why) => (why instanceof Error ? stopOnce(why, "service gave up") : stopOnce(undefined, why)),
  };
  listenForSignals(service, logger);
  listenForErrors(service, stopOnce);
  watchParent(service, stopOnce);
  // Nothing that a service holds need keep it alive: it ends when it is told to, not when its sockets happen to close.
  void sleep(Number.POSITIVE_INFINITY, service.signal).catch(() => undefined);
  const startedAtMs = monotonicMs();
  try {
    await start(service);
    logger.info({ durationMs: Math.round(monotonicMs() - startedAtMs) }, "service started");
  } catch (error) {
    // A start that was told to stop half-way may well throw: that is no failure.
    if (!service.signal.aborted) stopOnce(error, "service could not start");
  }
}

/** Stops on the first call; later ones only leave their error in the log and in the exit code. */
type StopOnce = (error: unknown, why: string) => void;

interface Stopping {
  readonly log: Logger;
  readonly steps: StopStep[];
  readonly stopping: AbortController;
  readonly stopWithinMs: number;
}

function stopper({ log, steps, stopping, stopWithinMs }: Stopping): StopOnce {
  let exitCode = 0;
  let current = "";
  const onEvent = (event: StopEvent): void => {
    current = event.step;
    if (event.kind === "failed") exitCode = 1;
    logStep(log, event);
  };
  const stop = async (): Promise<void> => {
    const reserveMs = Math.min(2_000, stopWithinMs / 5);
    const ended = runStopSteps(steps, withDeadline(undefined, stopWithinMs - reserveMs), onEvent).then(() => true);
    if (await Promise.race([ended, sleep(stopWithinMs).then(() => false)])) {
      log.info({ exitCode }, "service stopped");
      process.exit(exitCode);
    }
    log.error({ hung: current, stopWithinMs }, "service did not stop in time");
    process.exit(1);
  };
  return (error, why) => {
    if (error !== undefined) {
      exitCode = 1;
      log.error({ err: error }, why);
    }
    if (stopping.signal.aborted) return;
    log.info({ why }, "service is stopping");
    stopping.abort(new DOMException(`The service is stopping: ${why}`, "AbortError"));
    void stop();
  };
}

function logStep(log: Logger, event: StopEvent): void {
  if (event.kind === "ended") log.info({ step: event.step, durationMs: event.durationMs }, "stop step ended");
  if (event.kind === "failed") {
    log.error({ step: event.step, durationMs: event.durationMs, err: event.error }, "stop step failed");
  }
}

function listenForSignals(service: Service, log: Logger): void {
  let interruptedAtMs: number | undefined;
  process.on("SIGINT", () => {
    if (interruptedAtMs !== undefined && monotonicMs() - interruptedAtMs > SECOND_SIGINT_MS) {
      log.warn("second SIGINT: exiting at once");
      process.exit(1);
    }
    interruptedAtMs ??= monotonicMs();
    service.stop("SIGINT");
  });
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => service.stop(signal));
}

function listenForErrors(service: Service, stopOnce: StopOnce): void {
  process.on("uncaughtException", (error) => stopOnce(error, "uncaught exception"));
  process.on("unhandledRejection", (reason) => {
    // Work that nobody awaits any more, ended by our own signal.
    if (service.signal.aborted && reason === service.signal.reason) return;
    stopOnce(reason ?? new Error("a promise was rejected without a reason"), "unhandled rejection");
  });
}

function watchParent(service: Service, stopOnce: StopOnce): void {
  const { dieWithParent } = readSwitches();
  if (!dieWithParent) return;
  const parent = dieWithParent === "1" ? process.ppid : Number(dieWithParent);
  const look = (): void => {
    if (process.ppid !== parent) service.stop("its parent has died");
  };
  const onError = (error: unknown): void => stopOnce(error, "the parent could not be watched");
  void every(PARENT_MS, look, { signal: service.signal, onError, unref: true });
}
