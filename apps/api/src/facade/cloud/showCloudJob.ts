import type { JobStatus } from "@comfyq/comfyui/wire";
import type { JobFacts } from "@comfyq/contract";
import type { CloudStatus } from "./cloudSchemas.ts";

/** Ours that Comfy Cloud knows by another name. Documents differ: these are those of its overview (seeds/003). */
const STATUSES: Readonly<Record<JobFacts["status"], JobStatus>> = {
  queued: "pending",
  running: "in_progress",
  canceling: "in_progress",
  succeeded: "completed",
  failed: "failed",
  expired: "failed",
  canceled: "cancelled",
};

/** Pure. The job as `GET /api/job/{id}/status` tells it. */
export function showCloudStatus({ id, status, error, instance, ...times }: JobFacts): CloudStatus {
  const updated_at = times.completed_at ?? times.started_at ?? times.created_at;
  return {
    id,
    status: STATUSES[status],
    created_at: times.created_at,
    updated_at,
    last_state_update: updated_at,
    assigned_inference: instance,
    error_message: error?.message ?? null,
  };
}
