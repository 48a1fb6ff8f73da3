import { makeTickJob, toMoment } from "@comfyq/contract";
import {
  cancelJob,
  finishTick,
  type PendingTick,
  type QueueRoom,
  readTemplate,
  redisNowMs,
  remarkTick,
  type ScheduleState,
  type ScheduleTemplate,
  submitJob,
} from "@comfyq/queue";
import { failPoint, rollSeed, sha256Hex } from "@comfyq/runtime";
import { tickEntry } from "./tickEntry.ts";
import { jitteredMs, tickFacts, tickJobId } from "./tickIdentity.ts";
import type { TickTools } from "./tickSchedule.ts";
import { mayWait, waitedFor } from "./waitForRoom.ts";

/** What came of making a job: `later`: there is no room for it yet. */
type Made =
  | { readonly kind: "made"; readonly jobId: string }
  | { readonly kind: "failed" | "later"; readonly reason: string };

/**
 * Makes the job of a tick that was decided, and writes down what came of it. Safe to repeat, also by two at once: it is always
 * the same job, and the first to write is believed.
 * @returns "waits" when there is no room for the job yet
 */
export async function executeTick(
  room: QueueRoom,
  state: ScheduleState,
  { pending, tools }: { readonly pending: PendingTick; readonly tools: TickTools },
): Promise<"ended" | "waits"> {
  const template = await readTemplate(room, state);
  if (!template) return "ended"; // deleted meanwhile
  await makeRoom(room, state, pending);
  const made = await makeJob(room, state, { pending, template });
  await failPoint("tick_submitted", { schedule: state.name, tick: pending.tickAtMs });
  const nowMs = await redisNowMs(room.redis);
  if (made.kind === "later" && mayWait(state, { pending, nowMs, patienceMs: room.settings.tickPatienceMs }))
    return remarkWaiting(room, state, { pending, reason: made.reason, nowMs });
  const isFirst = await write(room, state, { pending, made, nowMs });
  if (isFirst) tools.note(state, { outcome: outcomeOf(made), lagMs: nowMs - pending.tickAtMs });
  await failPoint("tick_finished", { schedule: state.name, tick: pending.tickAtMs });
  return "ended";
}

/** The jobs that were open when it was decided, and no later ones. */
async function makeRoom(
  room: QueueRoom,
  { tenant, name }: ScheduleState,
  { cancels, tickAtMs }: PendingTick,
): Promise<void> {
  for (const jobId of cancels)
    await cancelJob(room, tenant, jobId).catch((error: unknown) => {
      if (codeOf(error) !== "conflict") throw error; // it has ended
    });
  if (cancels.length > 0) await failPoint("tick_canceled", { schedule: name, tick: tickAtMs });
}

interface Making {
  readonly pending: PendingTick;
  readonly template: ScheduleTemplate;
}

async function makeJob(room: QueueRoom, state: ScheduleState, { pending, template }: Making): Promise<Made> {
  const { tenant, name, id } = state;
  const atMs = pending.tickAtMs;
  const runAtMs = jitteredMs(state, atMs);
  const { job, fault } = makeTickJob(template.job, tickFacts(state, pending), {
    runAtMs: runAtMs > atMs ? runAtMs : undefined,
    roll: rollSeed,
  });
  if (!job) return { kind: "failed", reason: fault };
  const jobId = tickJobId(state, atMs);
  const bodySha256 = sha256Hex(`${id}:${atMs}`); // of the moment, not of the graph: dice may fall otherwise the second time
  const origin = { schedule: { name, tick_at: toMoment(atMs) } };
  try {
    const { sealedSecrets, sealedHeaders } = template;
    const sealed = { sealedSecrets, sealedHeaders };
    await submitJob(room, { id: jobId, tenant, job, bodySha256, canonicalSha256: bodySha256, ...sealed, origin });
    return { kind: "made", jobId };
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || code === "unavailable") throw error;
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: code === "missing_asset" || code === "key_reuse" ? "failed" : "later", reason };
  }
}

/** Of a QueueError; undefined for what is none. */
function codeOf(error: unknown): string | undefined {
  return error instanceof Error && error.name === "QueueError" && "code" in error ? String(error.code) : undefined;
}

interface Waiting {
  readonly pending: PendingTick;
  readonly reason: string;
  readonly nowMs: number;
}

async function remarkWaiting(
  room: QueueRoom,
  state: ScheduleState,
  { pending, reason, nowMs }: Waiting,
): Promise<"waits"> {
  const facts = { atMs: pending.tickAtMs, decidedAtMs: nowMs, canceled: pending.cancels };
  await remarkTick(room, state, { entry: tickEntry({ ...facts, outcome: "waiting", reason }), pending });
  return "waits";
}

function outcomeOf({ kind }: Made): "job" | "failed" | "missed" {
  return kind === "made" ? "job" : kind === "later" ? "missed" : "failed";
}

interface Ended {
  readonly pending: PendingTick;
  readonly made: Made;
  readonly nowMs: number;
}

/** @returns true when nobody had written it */
function write(room: QueueRoom, state: ScheduleState, { pending, made, nowMs }: Ended): Promise<boolean> {
  const atMs = pending.tickAtMs;
  const facts = { atMs, decidedAtMs: nowMs, canceled: pending.cancels, outcome: outcomeOf(made) };
  if (made.kind === "made") {
    const { jobId } = made;
    return finishTick(room, state, {
      entry: tickEntry({ ...facts, jobId, ...waitedFor(state, atMs) }),
      pending,
      jobId,
    });
  }
  const { reason } = made;
  const news = { oldestMs: atMs, newestMs: atMs, count: 1, reason, atMs: nowMs };
  const entry = tickEntry({ ...facts, reason });
  return finishTick(room, state, { entry, pending, jobId: undefined, news: made.kind === "later" ? news : undefined });
}
