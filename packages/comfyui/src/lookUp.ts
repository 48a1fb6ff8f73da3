import { lookUpOnCloud } from "./cloud.ts";
import type { Found, Queue, QueuedPrompt } from "./face.ts";
import { type Asked, readHistory } from "./readHistory.ts";
import { PATHS, QueueAnswer, type QueueItem, Workflow } from "./wire/index.ts";

/**
 * Where a prompt is: history, else the queue, else history again, because it may finish between the two (§3.2).
 * @throws ComfyError as `Http.read`
 */
export async function lookUp(promptId: string, asked: Asked): Promise<Found> {
  if (asked.dialect === "cloud") return lookUpOnCloud(promptId, asked);
  const entry = await readHistory(promptId, asked);
  if (entry) return { kind: "finished", entry };
  const place = placeIn(await readQueue(asked), promptId);
  if (place) return place;
  const late = await readHistory(promptId, asked);
  return late ? { kind: "finished", entry: late } : { kind: "unknown" };
}

/**
 * Where a prompt is in the queue, and `unknown` when it is not there (any more). Unlike `lookUp` it is not misled by
 * the history of an earlier prompt with the same id. Comfy Cloud's ids are its own, so there both say the same.
 */
export async function lookUpInQueue(promptId: string, asked: Asked): Promise<Found> {
  if (asked.dialect === "cloud") return lookUpOnCloud(promptId, asked);
  return placeIn(await readQueue(asked), promptId) ?? { kind: "unknown" };
}

/** Both lists in execution order; the server lists pending prompts in heap order. */
export async function readQueue({ http, ...call }: Omit<Asked, "dialect">): Promise<Queue> {
  const { queue_running, queue_pending } = await http.read(QueueAnswer, { method: "GET", path: PATHS.queue, ...call });
  const pending = queue_pending.toSorted((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
  return { running: queue_running.map(toQueuedPrompt), pending: pending.map(toQueuedPrompt) };
}

function placeIn({ running, pending }: Queue, promptId: string): Found | undefined {
  const item = running.find((one) => one.promptId === promptId);
  if (item) return { kind: "running", item };
  const ahead = pending.findIndex((one) => one.promptId === promptId);
  const waiting = pending[ahead];
  return waiting ? { kind: "pending", ahead: ahead + running.length, item: waiting } : undefined;
}

function toQueuedPrompt([number, promptId, graph, fourth, fifth]: QueueItem): QueuedPrompt {
  // Comfy Cloud swaps the last two and has no extra data (§6.1).
  const [extraData, outputNodeIds] = Array.isArray(fourth) ? [{}, fourth] : [fourth, Array.isArray(fifth) ? fifth : []];
  return { promptId, number, workflow: Workflow.safeParse(graph).data ?? {}, extraData, outputNodeIds };
}
