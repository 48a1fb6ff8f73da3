import type { DoctorCheck, WorkerBeat } from "@comfyq/contract";
import { fail, ok, warn } from "./check.ts";

/** What one worker's heartbeat says of it, and what to do about that. */
export function workerCheck(worker: WorkerBeat): DoctorCheck {
  const name = `worker ${worker.id}`;
  const seconds = worker.overflow_after_s ?? 0;
  const overflow = seconds > 0 ? `, for jobs that have waited ${seconds} s` : "";
  const reason = worker.reason ? `: ${worker.reason}` : "";
  const found = `${worker.state}, pool ${worker.pool}, ${whatItIs(worker)} at ${worker.instance}${overflow}${reason}${gpuTime(worker)}`;
  switch (worker.state) {
    case "unready":
      return fail(
        name,
        found,
        worker.cloud
          ? "do as the reason says; or correct the worker's COMFYUI_URL, or look whether the cloud is up"
          : "do as the reason says; or start ComfyUI at this address, or correct the worker's COMFYUI_URL",
      );
    case "quarantined":
      return fail(
        name,
        found,
        worker.cloud
          ? "look at the account there: its key, its credits, its limits; the worker goes on when a canary renders there"
          : "look at this ComfyUI's log, and restart it; the worker goes on when a canary renders there",
      );
    case "starting":
      return warn(name, found, "wait a moment; if it stays so, do as the reason says, or look at the worker's log");
    case "idle":
    case "rendering":
    case "draining":
      return worker.gpu?.state === "storage_backlog"
        ? warn(name, found, "the GPU waits for the store: look at its speed, or raise COMFYQ_STORING_MAX")
        : ok(name, found);
  }
}

function whatItIs({ comfyui_version: version, cloud, fingerprint }: WorkerBeat): string {
  const name = cloud ? "a cloud" : "ComfyUI";
  if (version === null && fingerprint === null) return `${name}${cloud ? " that" : ""} has not answered yet`;
  return version === null ? name : `${name}${cloud ? " with ComfyUI" : ""} ${version}`;
}

/** How the GPU spent its time, the largest part first; what is below one percent is left out. */
function gpuTime({ gpu }: WorkerBeat): string {
  if (!gpu) return "";
  const parts = Object.entries({ rendering: gpu.busy_s, ...gpu.idle_s });
  const total = parts.reduce((sum, [, seconds]) => sum + seconds, 0);
  const shown = parts
    .map(([state, seconds]) => ({ state, percent: Math.round((100 * seconds) / Math.max(total, 1)) }))
    .filter(({ percent }) => percent > 0)
    .sort((a, b) => b.percent - a.percent);
  return shown.length === 0 ? "" : `; GPU: ${shown.map(({ state, percent }) => `${state} ${percent} %`).join(", ")}`;
}
