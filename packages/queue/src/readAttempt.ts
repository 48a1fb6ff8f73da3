import { Attempt, AttemptEnd, JobFailure, JobStage, jobFailure, StopReport, toMoment } from "@comfyq/contract";
import * as z from "zod";

/**
 * A page of the journal as another version of ours may have written it, older or newer: what cannot be understood is left
 * out, and only what matters for the job's next attempt is guessed. One strange page must not fail the job.
 */
const AnyAttempt = Attempt.extend({
  worker: z.string().catch(""),
  instance: z.string().catch(""),
  stage: JobStage.catch("preparing"),
  started_at: Attempt.shape.started_at.catch(toMoment(0)),
  ended_at: Attempt.shape.ended_at.catch(null),
  // It ended in a way that is not known here: that is no death.
  end: AttemptEnd.nullable().catch(({ value }) => (value === undefined || value === null ? null : "given_back")),
  counted: z.boolean().catch(false),
  prompt_id: z.string().nullable().catch(null),
  prepare_ms: z.number().nullable().catch(null),
  render_ms: z.number().nullable().catch(null),
  store_ms: z.number().nullable().catch(null),
  error: JobFailure.nullable().catch(({ value }) => unknownFailure(value)),
  stop: StopReport.nullable().catch(null),
});

/** An error code of a newer version keeps its message; what it means for another try is not known. */
function unknownFailure(value: unknown): JobFailure | null {
  const said = z.object({ message: z.string() }).safeParse(value);
  return said.success ? jobFailure("internal", said.data.message) : null;
}

/** Reads one page, whatever stands there; text that is no object at all is an attempt that never said how it ended. */
export function readAttempt(epoch: number, text: string): Attempt {
  const page = z.record(z.string(), z.unknown()).safeParse(readJson(text)).data ?? {};
  return AnyAttempt.parse({ ...page, epoch });
}

/** @returns undefined for text that is no JSON */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
