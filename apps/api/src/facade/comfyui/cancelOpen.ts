import { isTerminal, JobId } from "@comfyq/contract";
import type { Rooms } from "../../rooms.ts";

interface CancelWish {
  readonly id: string;
  /** One that waits, or one that runs; left out: either. */
  readonly only?: "queued" | "running";
}

/** Cancels a tenant's job if it is where it is wanted to be. @returns whether there was anything to cancel */
export async function cancelOpen({ producer }: Rooms, tenant: string, { id, only }: CancelWish): Promise<boolean> {
  if (!JobId.safeParse(id).success) return false;
  const job = await producer.read(tenant, id);
  if (!job || isTerminal(job.status)) return false;
  if (only !== undefined && (job.status === "queued") !== (only === "queued")) return false;
  return producer.cancel(tenant, id).then(
    (after) => after !== undefined,
    (error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "conflict") return false; // it ended meanwhile
      throw error;
    },
  );
}

/** Cancels all of a tenant's jobs that wait, or all that run. */
export async function cancelAllOpen(rooms: Rooms, tenant: string, only: "queued" | "running"): Promise<void> {
  const open = await rooms.producer.prompts.open(tenant, Number.MAX_SAFE_INTEGER);
  for (const { id, status } of open) if (status === only) await cancelOpen(rooms, tenant, { id, only });
}
