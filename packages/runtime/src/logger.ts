import {
  type DestinationStream,
  destination as openDestination,
  type Logger as PinoLogger,
  pino,
  stdTimeFunctions,
} from "pino";
import { cleanLine } from "./cleanLine.ts";
import { errorForLog } from "./errorForLog.ts";

/** What every long-lived process logs with; `logger.child({ jobId })` narrows it. */
export type Logger = PinoLogger;

/** `silent` logs nothing. */
export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What a logger needs to know. */
export interface LoggerOptions {
  /** The process, as in `worker`; stands in every line. */
  readonly name: string;
  /** Default `info`. */
  readonly level?: LogLevel;
  /** Gets whole lines, each with its newline. Default: standard error, written at once so that no line is lost. */
  readonly destination?: DestinationStream;
}

/**
 * A logger that writes one JSON object a line: `level`, `time` (ISO), `name`, `pid`, the fields, `msg`.
 * Errors stand under `err`, `error`, `reason` or `cause` with name, code, message, stack and causes.
 * Whatever is logged, secrets do not get out: see `cleanLine`, `hideValue`, `stripUrl`.
 */
export function createLogger({ name, level = "info", destination }: LoggerOptions): Logger {
  const asError = (value: unknown): unknown => (value instanceof Error ? errorForLog(value) : value);
  return pino(
    {
      level,
      base: { name, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: asError, error: asError, reason: asError, cause: asError },
      hooks: { streamWrite: cleanLine },
    },
    destination ?? openStderr(),
  );
}

function openStderr(): DestinationStream {
  const stderr = openDestination({ dest: 2, sync: true });
  stderr.on("error", () => undefined); // a full disk or a closed pipe must not stop the work that is logged
  return stderr;
}
