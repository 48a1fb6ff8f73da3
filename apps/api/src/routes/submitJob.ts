import { Job, NewJob } from "@comfyq/contract";
import { isBroken } from "@comfyq/runtime";
import * as z from "zod";
import { readBody } from "../body/readBody.ts";
import { jobIdFor } from "../idempotency.ts";
import { inlineOutputs } from "../objects/inlineOutputs.ts";
import { showJob } from "../presentJob.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, json, type Route, route } from "../route.ts";
import { checkSubmission } from "../submit/checkSubmission.ts";
import { isSameBody } from "../submit/fingerprint.ts";
import { preferredWait, waitForEnd } from "../submit/preferredWait.ts";
import { type CheckedJob, queueJob } from "../submit/queueJob.ts";
import { type ReadBody, readSubmission } from "../submit/readSubmission.ts";
import { SUBMIT_ERRORS } from "../submit/submitErrors.ts";

const EXAMPLE: z.input<typeof NewJob> = {
  workflow: {
    "3": { class_type: "EmptyImage", inputs: { width: 512, height: 512, batch_size: 1, color: 0 } },
    "9": { class_type: "SaveImage", inputs: { images: ["3", 0], filename_prefix: "hello" } },
  },
  params: { "3.inputs.color": 16711680 },
  tags: ["first"],
};

/** Headers that a submission may carry. */
export const SUBMIT_HEADERS = z.object({
  "Idempotency-Key": z.string().max(255).optional().meta({
    description: "Repeating a request with the same key and body gives the same job again, and never a second one",
  }),
  Prefer: z.string().optional().meta({ description: "wait=30: answer when it has ended, or after 30 s (at most 60)" }),
});

/** Headers of the answer to a submission. */
export const SUBMITTED_HEADERS = z.object({
  Location: z.string().meta({ description: "Address of the job" }),
  "Idempotency-Replayed": z.literal("true").optional().meta({ description: "This job was submitted before" }),
  "Preference-Applied": z.string().optional(),
});

export function submitJobRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/jobs",
    scope: "submit",
    tag: "Jobs",
    summary: "Submit a job",
    description: "201 means that the job is recorded durably and queued. Nothing is downloaded before the answer.",
    headers: SUBMIT_HEADERS,
    body: { "application/json": { schema: NewJob, example: EXAMPLE } },
    answers: { 201: { ...json("The job", Job), headers: SUBMITTED_HEADERS } },
    errors: SUBMIT_ERRORS,
    run: async (call) => {
      const { tenant } = call.caller;
      const { id, key } = jobIdFor(call.req, tenant);
      const body = await readBody(call.req, rooms.settings.COMFYQ_MAX_BODY_BYTES);
      const read = readSubmission(body, { box: rooms.secretBox, tenant });
      const job = await checkSubmission(rooms, tenant, read.job).catch(async (error: unknown) => {
        // A repeat is not judged again: its assets may be gone, and its instances may have changed since it was accepted.
        const isRedisAway = error instanceof Error && error.name === "QueueError"; // it is not asked twice: 503 at once
        if (!isRedisAway && key !== undefined && (await rooms.producer.read(tenant, id))) return read.job;
        throw error;
      });
      await submitOrRepeat(rooms, call, { id, job, read });
    },
  });
}

interface ReadJob {
  readonly id: string;
  readonly job: NewJob;
  readonly read: ReadBody;
}

/** The same body in another order of its keys is a repeat, too. */
async function submitOrRepeat(rooms: Rooms, call: Call, { id, job, read }: ReadJob): Promise<void> {
  const { fingerprint, sealedSecrets, sealedHeaders } = read;
  const { bodySha256 } = fingerprint;
  const original = job.workflow === read.job.workflow ? read.original : undefined; // else a seed was rolled
  const kept = original ? { original } : { canonicalSha256: fingerprint.canonicalSha256() };
  const checked: CheckedJob = { id, job, sealedSecrets, sealedHeaders, bodySha256, ...kept };
  try {
    await submit(rooms, call, checked);
  } catch (error) {
    const first = isKeyReuse(error) ? await rooms.producer.keptBody(call.caller.tenant, id) : undefined;
    if (!first || !isSameBody(fingerprint, first)) throw error;
    await submit(rooms, call, { ...checked, bodySha256: first.bodySha256 });
  }
}

function isKeyReuse(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "key_reuse";
}

/** Longest wait for a result that is there, and is being copied, when the client prefers nothing. */
const ANSWER_SECONDS = 1;

/** Queues a job and answers with it; waits for its end when the client prefers that. */
export async function submit(rooms: Rooms, call: Call, checked: CheckedJob): Promise<void> {
  if (isBroken("ack_before_queue")) return void call.res.status(201).json({ id: checked.id, status: "queued" });
  const queued = await queueJob(rooms, call.caller.tenant, checked);
  const { replayed, isAnswered } = queued;
  const seconds = preferredWait(call.req.get("prefer"));
  let { facts } = queued;
  if (seconds !== undefined || isAnswered) facts = await waitForEnd(rooms, call, facts, seconds ?? ANSWER_SECONDS);
  const shown = await inlineOutputs(rooms, call, await showJob(rooms, call, facts), facts);
  if (replayed) call.res.set("Idempotency-Replayed", "true");
  if (seconds !== undefined) call.res.set("Preference-Applied", `wait=${seconds}`);
  call.res.status(201).set({ Location: shown.urls.self, "Content-Type": "application/json; charset=utf-8" });
  call.res.end(JSON.stringify(shown)); // as json() does, which looks at ETags and more first
}
