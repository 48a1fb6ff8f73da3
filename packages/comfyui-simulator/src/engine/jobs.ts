import { endedJobView, type JobView, openJobView, wholeJobView } from "@comfyq/comfyui/wire";
import type { Life } from "./Life.ts";
import type { QueuedPrompt } from "./PromptQueue.ts";

/** All jobs: running, pending, finished. */
export function listJobs(life: Life): readonly JobView[] {
  const { profile } = life.parts;
  return [
    ...life.queue.running.map((prompt) => openJobView({ ...prompt, status: "in_progress" }, profile)),
    ...life.queue.pending.map((prompt) => openJobView({ ...prompt, status: "pending" }, profile)),
    ...life.history.entries().map(([, record]) => endedJobView(record, profile)),
  ];
}

/** One job with all that is known; undefined when there is none. */
export function findJob(life: Life, promptId: string): JobView | undefined {
  const { profile } = life.parts;
  const record = life.history.get(promptId);
  if (record) return wholeJobView(record, profile);
  const isWanted = (prompt: QueuedPrompt): boolean => prompt.promptId === promptId;
  const running = life.queue.running.find(isWanted);
  if (running) return openJobView({ ...running, status: "in_progress" }, profile);
  const pending = life.queue.pending.find(isWanted);
  return pending && openJobView({ ...pending, status: "pending" }, profile);
}

/** Interrupts a running job or takes a pending one off the queue; false when there was nothing to do. */
export function cancelJob(life: Life, promptId: string): boolean {
  if (!life.queue.running.some((prompt) => prompt.promptId === promptId)) return life.queue.delete(promptId);
  life.interrupt.set();
  return true;
}
