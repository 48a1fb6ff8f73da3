import { hears } from "./lock.ts";
import { isWaiting } from "./queue.ts";
import type { Instance, Prompt, World } from "./state.ts";

/** It runs there, or ended well: there is nothing to render again. */
export function isThere({ prompts, history }: Instance, promptId: string): boolean {
  return prompts.some(({ id }) => id === promptId) || history.get(promptId) === "ok";
}

/** Can anybody stop a prompt there at all? */
export function isAttended(world: World, instance: Instance): boolean {
  if (instance.state !== "up" || instance.isZombie) return false;
  return world.workers.some(
    (worker) =>
      worker.instance === instance &&
      worker.state === "runs" &&
      !worker.isDraining &&
      hears(world, worker) &&
      worker.health.driver.kind === "us",
  );
}

/** Its job has ended, or goes on without it. */
export function isOrphan(world: World, instance: Instance, prompt: Prompt): boolean {
  const job = world.jobs.find(({ id }) => id === prompt.jobId);
  if (!job || job.end) return true;
  if (isWaiting(job)) return false;
  return (
    !world.workers.some((worker) =>
      worker.held.some(
        (held) => held.job === job && worker.instance === instance && (held.promptId ?? prompt.id) === prompt.id,
      ),
    ) && Math.max(0, ...job.journal.keys()) > prompt.epoch
  );
}
