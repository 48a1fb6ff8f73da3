import { readFile } from "node:fs/promises";
import { LimitsFile } from "@comfyq/contract";
import { every, type Logger } from "@comfyq/runtime";
import { zodFaults } from "../body/zodFaults.ts";
import { fileVersion } from "../fileVersion.ts";

/** A change of the file takes effect within this time, and the time that workers take to hear of it. */
const LOOK_EVERY_MS = 1_000;

interface LimitsOptions {
  readonly path: string;
  /** Did the operator name it? Then it is missed when it is not there. */
  readonly isNamed: boolean;
  readonly logger: Logger;
  /** Makes them the limits of the whole system. */
  readonly publish: (limits: LimitsFile) => Promise<void>;
  /** Aborts when the API stops. */
  readonly closing: AbortSignal;
}

/**
 * Publishes the limits that stand in the file, now and whenever it changes. A file that is broken later changes nothing: it is
 * logged, and the limits read before stay. No file: no limits, of which an operator who named one is warned.
 * @throws Error when the file is there but cannot be read as limits
 */
export async function openLimits({ path, isNamed, logger, publish, closing }: LimitsOptions): Promise<void> {
  let version = await fileVersion(path);
  await publish(await readLimits(path, version));
  if (isNamed && version === "")
    logger.warn({ path }, "there is no limits file at COMFYQ_LIMITS_FILE: nobody is limited");
  void every(
    LOOK_EVERY_MS,
    async () => {
      const now = await fileVersion(path);
      if (now === version) return;
      version = now; // also when it is broken: that is said once
      await publish(await readLimits(path, now)).catch((error: unknown) => {
        version = "unpublished"; // Redis is away
        throw error;
      });
      logger.info({ path }, "limits were read anew");
    },
    { signal: closing, onError: (err) => logger.error({ err }, "limits stay as they were") },
  );
}

async function readLimits(path: string, version: string): Promise<LimitsFile> {
  if (version === "") return LimitsFile.parse({ v: 1 });
  const advice = `mend it, or remove it to have none`;
  let written: unknown;
  try {
    written = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new Error(`The limits file ${path} is no JSON; ${advice}`, { cause });
  }
  const { data, error } = LimitsFile.safeParse(written);
  if (data) return data;
  const faults = zodFaults(error).map(({ path: field, message }) => `  ${field} ${message}`);
  throw new Error(`The limits file ${path} cannot be taken; ${advice}\n${faults.join("\n")}`, { cause: error });
}
