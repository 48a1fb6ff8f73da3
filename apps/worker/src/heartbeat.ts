import { toMoment, type WorkerBeat } from "@comfyq/contract";
import { beat, leaveFleet, type QueueRoom } from "@comfyq/queue";
import { every, type Logger, nowMs, withDeadline } from "@comfyq/runtime";
import type { Activity } from "./activity.ts";
import { hereOf, type WorkerConfig } from "./config.ts";
import { idleSeconds } from "./gpuClock.ts";
import type { Instance } from "./instance/instance.ts";
import { reasonOf } from "./instance/instanceHealth.ts";
import { orAborted } from "./orAborted.ts";

interface HeartbeatOptions {
  readonly room: QueueRoom;
  readonly config: WorkerConfig;
  readonly instance: Instance;
  readonly activity: Activity;
  readonly log: Logger;
}

export interface Heartbeat {
  /** Tells it now, when something changed that others wait for. */
  beatNow(): Promise<void>;
  /** Says goodbye. */
  stop(): Promise<void>;
}

/** Longest wait for Redis to hear a goodbye; without it the last beat runs out by itself. */
const GOODBYE_MS = 1_000;

/** Tells the fleet every 3 s that this worker lives, and what it does, until it is stopped. */
export function startHeartbeat({ room, config, instance, activity, log }: HeartbeatOptions): Heartbeat {
  const stopped = new AbortController();
  const describe = (): WorkerBeat => {
    const facts = instance.facts();
    return {
      id: config.workerId,
      pool: config.COMFYQ_POOL,
      ...hereOf(config),
      state: stateOf(instance, activity),
      reason: reasonOf(instance.standing()) ?? null,
      job_id: activity.renderingJobId,
      storing: activity.backlog.jobs,
      storing_bytes: activity.backlog.bytes,
      gpu: { state: activity.gpu.state, busy_s: activity.gpu.seconds("rendering"), idle_s: idleSeconds(activity.gpu) },
      comfyui_version: facts?.version ?? null,
      fingerprint: facts?.fingerprint ?? null,
      object_info: facts?.objectInfo.sha256 ?? null,
      model_lists: facts?.modelLists.sha256 ?? null,
      device: facts?.device ?? null,
      cloud: config.isCloud,
      overflow_after_s: config.COMFYQ_OVERFLOW_AFTER_S,
      models: config.COMFYUI_MODELS_DIR !== undefined,
      started_at: activity.startedAt,
      beat_at: toMoment(nowMs()),
    };
  };
  const beatNow = async () => {
    if (!stopped.signal.aborted) await beat(room, describe());
  };
  void every(room.settings.beatEveryMs, beatNow, {
    signal: stopped.signal,
    onError: (cause) => log.warn({ cause }, "heartbeat was not heard"),
  });
  return {
    beatNow,
    stop: async () => {
      stopped.abort();
      await orAborted(
        leaveFleet(room, { id: config.workerId, pool: config.COMFYQ_POOL }),
        withDeadline(undefined, GOODBYE_MS),
      ).catch(() => {});
    },
  };
}

function stateOf(instance: Instance, activity: Activity): WorkerBeat["state"] {
  if (activity.draining) return "draining";
  if (activity.renderingJobId !== null) return "rendering";
  const { kind } = instance.standing();
  return kind === "well" ? "idle" : kind;
}
