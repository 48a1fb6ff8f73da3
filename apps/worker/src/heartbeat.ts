import { toMoment, type WorkerBeat } from "@comfyq/contract";
import { beat, leaveFleet, type QueueRoom, SETTINGS } from "@comfyq/queue";
import { every, type Logger, nowMs } from "@comfyq/runtime";
import type { WorkerConfig } from "./config.ts";
import type { Instance } from "./instance.ts";

/** What this worker is doing, as its loop sees it. */
export interface Activity {
  renderingJobId: string | null;
  /** Jobs held: the one that renders and those being stored. */
  holding: number;
  draining: boolean;
}

interface HeartbeatOptions {
  readonly room: QueueRoom;
  readonly config: WorkerConfig;
  readonly instance: Instance;
  readonly activity: Activity;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Heartbeat {
  /** Tells it now, when something changed that others wait for. */
  beatNow(): Promise<void>;
}

/** Tells the fleet every 3 s that this worker lives, and what it does; says goodbye when the signal aborts. */
export function startHeartbeat({ room, config, instance, activity, log, signal }: HeartbeatOptions): Heartbeat {
  const startedAt = toMoment(nowMs());
  const describe = (): WorkerBeat => {
    const facts = instance.facts();
    return {
      id: config.workerId,
      pool: config.COMFYQ_POOL,
      instance: config.instanceName,
      state: stateOf(instance, activity),
      reason: instance.trouble() ?? null,
      job_id: activity.renderingJobId,
      storing: activity.holding - (activity.renderingJobId === null ? 0 : 1),
      comfyui_version: facts?.version ?? null,
      fingerprint: facts?.fingerprint ?? null,
      device: facts?.device ?? null,
      started_at: startedAt,
      beat_at: toMoment(nowMs()),
    };
  };
  const beatNow = () => beat(room, describe());
  void every(SETTINGS.beatEveryMs, beatNow, {
    signal,
    onError: (cause) => log.warn({ cause }, "heartbeat was not heard"),
  });
  signal.addEventListener("abort", () => void leaveFleet(room, config.workerId).catch(() => {}), { once: true });
  return { beatNow };
}

function stateOf(instance: Instance, activity: Activity): WorkerBeat["state"] {
  if (activity.draining) return "draining";
  if (activity.renderingJobId !== null) return "rendering";
  if (instance.trouble() === undefined) return "idle";
  return instance.facts() === undefined ? "starting" : "unready";
}
