import type { Client } from "./client.ts";
import { createBell, createDeadline, nowMs, within } from "./clock.ts";
import { ComfyError } from "./errors.ts";
import type { Cancelled, CancelOptions, Found, NodeStarted } from "./face.ts";
import type { FrameRouter } from "./frames.ts";
import { classOf, graphOfItem } from "./graph.ts";
import { errorOfStatus } from "./http.ts";
import { isPassing } from "./vigil.ts";
import { PATHS } from "./wire/index.ts";

/** An interrupt that lands between two states is lost (§1.2), so it is repeated. */
const REPEAT_MS = 1_000;
const LOOK_MS = 100;
/** A question that gets no answer is asked again: it must not keep us from the next interrupt. */
const CALL_MS = 5_000;
/** What may be under way at the deadline ends so much later. */
const GRACE_MS = 1_000;
const FEATURES_MS = 2_000;
/** A node that runs on for so long after the first interrupt ignores them; its name is worth telling. */
const IGNORING_MS = 3_000;

/**
 * Stops one prompt, and no other: by the cancel endpoint where there is one, else by an interrupt while it runs or a
 * deletion while it waits. Done when the queue no longer shows it; a node that computes in one long call cannot be
 * interrupted (§3.6), which is what `stuckNode` tells.
 * @throws ComfyError `unreachable` | `busy` when the server could not be asked at the deadline
 */
export async function cancelPrompt(promptId: string, options: CancelOptions, client: Client): Promise<Cancelled> {
  const late = createDeadline(
    options.deadlineMs + GRACE_MS,
    () => new ComfyError("busy", `ComfyUI did not answer in time whether prompt ${promptId} has stopped.`),
  );
  const signal = AbortSignal.any([client.http.closed, late.signal, ...(options.signal ? [options.signal] : [])]);
  const bell = createBell();
  const stopListening = client.router.listen(promptId, (frame) => {
    if (frame.type === "status" || frame.type === "gap") bell.ring(); // the queue has changed
  });
  try {
    return await untilStopped({ promptId, signal, client }, options.deadlineMs, bell);
  } finally {
    stopListening();
    late.stop();
  }
}

/** What one cancellation works with. */
interface Cancelling {
  readonly promptId: string;
  readonly signal: AbortSignal;
  readonly client: Client;
}

async function untilStopped(
  cancelling: Cancelling,
  deadlineMs: number,
  bell: ReturnType<typeof createBell>,
): Promise<Cancelled> {
  const { promptId, signal, client } = cancelling;
  const startedAtMs = nowMs();
  let struck: { readonly kind: Found["kind"]; readonly atMs: number } | undefined;
  let ignoringSinceMs = Number.POSITIVE_INFINITY;
  let stuckNode: NodeStarted | undefined;
  for (;;) {
    const seen = await attempt(() => client.lookUpInQueue(promptId, { signal, timeoutMs: CALL_MS }));
    const stopMs = nowMs() - startedAtMs;
    if (nowMs() - ignoringSinceMs > IGNORING_MS) stuckNode ??= nodeAtWork(promptId, seen, client.router);
    if ("value" in seen && isGone(seen.value)) return { stopped: true, stopMs, ...(stuckNode && { stuckNode }) };
    if (stopMs >= deadlineMs) return outOfTime(promptId, stopMs, seen, client.router);
    if ("value" in seen && isDue(struck, seen.value.kind)) {
      struck = { kind: seen.value.kind, atMs: nowMs() };
      const done = await attempt(() => strike(seen.value, cancelling));
      if ("value" in done && struck.kind === "running") ignoringSinceMs = Math.min(ignoringSinceMs, nowMs());
    }
    await bell.wait(Math.min(LOOK_MS, deadlineMs - stopMs), signal);
  }
}

/** Is it time to act again? At once when a pending prompt has begun to run: it takes another call to stop that. */
function isDue(
  struck: { readonly kind: Found["kind"]; readonly atMs: number } | undefined,
  kind: Found["kind"],
): boolean {
  return struck === undefined || struck.kind !== kind || nowMs() - struck.atMs >= REPEAT_MS;
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

/**
 * Asks the server once to stop the prompt. A server that does not tell what it can do (its statistics fail once the GPU
 * is broken) is taken for one that can do everything, and to understand nothing.
 */
async function strike({ kind }: Found, { promptId, signal, client }: Cancelling): Promise<void> {
  const features = await within(client.features(), FEATURES_MS, signal);
  const asked = { signal, timeoutMs: CALL_MS };
  if (features?.cancelEndpoint ?? true) {
    const path = `${PATHS.jobs}/${encodeURIComponent(promptId)}/cancel`;
    const { status } = await client.http.send({ method: "POST", path, ...asked });
    if (status === 200) return;
    // No such route, or an id that is no UUID, or it failed: the older calls below know it.
  }
  const interrupts = kind === "running" && client.address.dialect === "local";
  if (interrupts && !features?.targetedInterrupt) {
    // Before 0.3.56 the server ignores the id and interrupts whatever runs, so only ask while ours does. Another prompt
    // can be hit only when ours ends between these two calls.
    const { kind: now } = await client.lookUpInQueue(promptId, asked);
    if (now !== "running") return;
  }
  // Comfy Cloud's interrupt takes no id at all; there a deletion also ends what runs (§6.1).
  const call = interrupts
    ? { path: PATHS.interrupt, json: { prompt_id: promptId } }
    : { path: PATHS.queue, json: { delete: [promptId] } };
  const answer = await client.http.send({ method: "POST", ...call, ...asked });
  if (answer.status !== 200) throw errorOfStatus(answer, `Cancelling prompt ${promptId}`);
}
