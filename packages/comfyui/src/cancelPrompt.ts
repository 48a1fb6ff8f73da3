import type { Client } from "./client.ts";
import { createBell, nowMs } from "./clock.ts";
import type { Cancelled, CancelOptions, Found, NodeStarted } from "./face.ts";
import type { FrameRouter } from "./frames.ts";
import { classOf, graphOfItem } from "./graph.ts";
import { errorOfStatus } from "./http.ts";
import { isPassing } from "./vigil.ts";
import { PATHS } from "./wire/index.ts";

/** An interrupt that lands between two states is lost (§1.2), so it is repeated. */
const REPEAT_MS = 1_000;
const LOOK_MS = 100;
/** A node that runs on for so long after the first interrupt ignores them; its name is worth telling. */
const IGNORING_MS = 3_000;

/**
 * Stops one prompt, and no other: by the cancel endpoint where there is one, else by an interrupt while it runs or a
 * deletion while it waits. Done when the queue no longer shows it; a node that computes in one long call cannot be
 * interrupted (§3.6), which is what `stuckNode` tells.
 * @throws ComfyError `unreachable` | `busy` when the server could not be asked at the deadline
 */
export async function cancelPrompt(promptId: string, options: CancelOptions, client: Client): Promise<Cancelled> {
  const signal = AbortSignal.any([client.http.closed, ...(options.signal ? [options.signal] : [])]);
  const startedAtMs = nowMs();
  const bell = createBell();
  const stopListening = client.router.listen(promptId, (frame) => {
    if (frame.type === "status" || frame.type === "gap") bell.ring(); // the queue has changed
  });
  let struckAtMs = Number.NEGATIVE_INFINITY;
  let firstStruckAtMs = Number.POSITIVE_INFINITY;
  let stuckNode: NodeStarted | undefined;
  try {
    for (;;) {
      const seen = await attempt(() => client.lookUpInQueue(promptId, signal));
      const stopMs = nowMs() - startedAtMs;
      if (nowMs() - firstStruckAtMs > IGNORING_MS) stuckNode ??= nodeAtWork(promptId, seen, client.router);
      if ("value" in seen && isGone(seen.value)) return { stopped: true, stopMs, ...(stuckNode && { stuckNode }) };
      if (stopMs >= options.deadlineMs) return outOfTime(promptId, stopMs, seen, client.router);
      if ("value" in seen && nowMs() - struckAtMs >= REPEAT_MS) {
        struckAtMs = nowMs();
        const struck = await attempt(() => strike(promptId, seen.value.kind === "running", signal, client));
        if ("value" in struck) firstStruckAtMs = Math.min(firstStruckAtMs, nowMs());
      }
      await bell.wait(Math.min(LOOK_MS, options.deadlineMs - stopMs), signal);
    }
  } finally {
    stopListening();
  }
}

type Attempt<T> = { readonly value: T } | { readonly error: Error };

/** Outages pass, or the deadline does. */
async function attempt<T>(act: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await act() };
  } catch (error) {
    if (isPassing(error)) return { error };
    throw error;
  }
}

function isGone(found: Found): boolean {
  return found.kind === "finished" || found.kind === "unknown";
}

/** @throws ComfyError when the server could not be asked just now */
function outOfTime(promptId: string, stopMs: number, seen: Attempt<Found>, router: FrameRouter): Cancelled {
  if ("error" in seen) throw seen.error;
  const stuckNode = nodeAtWork(promptId, seen, router);
  return { stopped: false, stopMs, ...(stuckNode && { stuckNode }) };
}

/** The node that a running prompt was last heard to work at. */
function nodeAtWork(promptId: string, seen: Attempt<Found>, router: FrameRouter): NodeStarted | undefined {
  const nodeId = router.lastNodeOf(promptId);
  if ("error" in seen || seen.value.kind !== "running" || nodeId === undefined) return undefined;
  const graph = seen.value.item && graphOfItem(seen.value.item);
  return { node_id: nodeId, ...(graph && classOf(graph, nodeId)) };
}

async function strike(promptId: string, isRunning: boolean, signal: AbortSignal, client: Client): Promise<void> {
  const { cancelEndpoint, dialect } = await client.features();
  if (cancelEndpoint) {
    const path = `${PATHS.jobs}/${encodeURIComponent(promptId)}/cancel`;
    const answer = await client.http.send({ method: "POST", path, signal });
    if (answer.status === 200) return;
    // No such route, or an id that is no UUID: the older calls below know it.
    if (answer.status >= 500) throw errorOfStatus(answer, `Cancelling prompt ${promptId}`);
  }
  // Before 0.3.56 the server ignores the id and interrupts whatever runs, so only ask while ours does.
  // Comfy Cloud's interrupt takes no id at all; there a deletion also ends what runs (§6.1).
  const call =
    isRunning && dialect === "local"
      ? { path: PATHS.interrupt, json: { prompt_id: promptId } }
      : { path: PATHS.queue, json: { delete: [promptId] } };
  const answer = await client.http.send({ method: "POST", ...call, signal });
  if (answer.status !== 200) throw errorOfStatus(answer, `Cancelling prompt ${promptId}`);
}
