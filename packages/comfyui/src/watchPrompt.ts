import type { Client } from "./client.ts";
import { type Bell, createBell, nowMs } from "./clock.ts";
import { type ComfyError, isComfyError } from "./errors.ts";
import type { QueuedPrompt, Rendered, WatchOptions } from "./face.ts";
import { graphOfItem, graphOfWorkflow } from "./graph.ts";
import { type Hearing, hear } from "./hearing.ts";
import { collectOutputs } from "./outputs.ts";
import { isFullyCached, judge } from "./verdict.ts";
import { applyReply, type Circumstances, isPassing, nextStep, type Reply, startVigil } from "./vigil.ts";
import type { HistoryEntry } from "./wire/index.ts";

/**
 * Waits until a prompt has ended. The socket only hurries us: frames may be missed, early, or for nobody, and success is
 * announced before history is written. `/history` decides (reference/comfyui-protocol.md §2.6, §3.2).
 * Ends by success, node failure, interruption, loss (unknown to queue and history twice), stall, outage or the signal.
 * @throws ComfyError as listed in `ComfyUi.watch`
 */
export async function watchPrompt(promptId: string, options: WatchOptions, client: Client): Promise<Rendered> {
  const bell = createBell();
  const hearing = hear(promptId, options, { router: client.router, bell, report: client.report });
  if (options.workflow && client.address.dialect === "cloud") hearing.know(graphOfWorkflow(options.workflow));
  try {
    const entry = await untilFinished({ promptId, options, client, hearing, bell });
    hearing.finish(entry);
    const verdict = judge(promptId, entry);
    if (verdict.kind === "failed") throw verdict.error;
    return { entry, outputs: collectOutputs(entry), isCached: isFullyCached(entry) };
  } finally {
    hearing.stop();
  }
}

interface Watch {
  readonly promptId: string;
  readonly options: WatchOptions;
  readonly client: Client;
  readonly hearing: Hearing;
  readonly bell: Bell;
}

async function untilFinished(watch: Watch): Promise<HistoryEntry> {
  const signal = AbortSignal.any([watch.options.signal, watch.client.http.closed]);
  let vigil = startVigil(nowMs());
  let item: QueuedPrompt | undefined;
  for (;;) {
    const reply = await ask(watch, signal);
    if (reply.kind === "finished") return reply.entry;
    if ("item" in reply && reply.item) {
      item = reply.item;
      watch.hearing.know(graphOfItem(item));
    }
    const now = circumstances(watch, item?.extraData["client_id"]);
    if (reply.kind === "trouble" && !vigil.trouble) {
      watch.client.report({ type: "prompt_unreachable", promptId: watch.promptId, cause: reply.error });
    }
    vigil = applyReply(vigil, reply, now);
    const step = nextStep(vigil, now);
    if (step.kind === "ask") await watch.bell.wait(step.afterMs, signal);
    else return orTestimony(watch, item, step.error);
  }
}

async function ask({ promptId, client }: Watch, signal: AbortSignal): Promise<Reply> {
  try {
    return await client.lookUp(promptId, signal);
  } catch (error) {
    if (isPassing(error)) return { kind: "trouble", error };
    throw error;
  }
}

/**
 * Whoever cleared the history did not clear our ears; nor did a worker thread that died between success and history, whose
 * prompt the queue shows as running for ever.
 */
function orTestimony({ hearing }: Watch, item: QueuedPrompt | undefined, error: ComfyError): HistoryEntry {
  const heard = isComfyError(error, "prompt_lost", "stalled") ? hearing.testimony.entry(item) : undefined;
  if (!heard) throw error;
  return heard;
}

function circumstances({ promptId, options, client, hearing }: Watch, clientId: unknown): Circumstances {
  const { heardAtMs, hasEnded } = hearing;
  const { pollMs, unreachableMs } = client.limits;
  const isDeaf = !client.isHeard(clientId);
  const stuckNode = hearing.nodeAtWork;
  const { stallMs } = options;
  return {
    nowMs: nowMs(),
    promptId,
    heardAtMs,
    hasEnded,
    isDeaf,
    sharesQueue: client.address.dialect === "cloud",
    stuckNode,
    stallMs: typeof stallMs === "number" ? stallMs : stallMs(stuckNode),
    pollMs,
    unreachableMs,
  };
}
