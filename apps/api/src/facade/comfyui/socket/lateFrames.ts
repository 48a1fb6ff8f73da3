import { fromMoment } from "@comfyq/contract";
import { nowMs } from "@comfyq/runtime";
import type { Rooms } from "../../../rooms.ts";
import { showEntry } from "../promptHistory.ts";
import { endFrame, endingOf, textFrame } from "./frames.ts";

/** So long after its end a prompt is told of to a socket that comes then. */
const LATE_MS = 30_000;
const MOST_LATE = 20;

/**
 * Ends of a tenant's newest prompts that name no client, for a client of Comfy Cloud that comes now: it submits first and listens then,
 * and would wait in vain for one that was faster. What each node made, the end, and the end marker.
 */
export async function lateFrames({ producer }: Rooms, tenant: string): Promise<readonly string[]> {
  const ids = await producer.prompts.ended(tenant, { maxItems: MOST_LATE, offset: undefined });
  const told = await Promise.all(
    ids.map(async (id) => {
      const [facts, papers] = await Promise.all([producer.read(tenant, id), producer.prompts.papers(tenant, id)]);
      if (!facts || papers?.prompt?.client_id !== null) return [];
      const endedAtMs = fromMoment(facts.completed_at ?? undefined) ?? 0;
      if (nowMs() - endedAtMs > LATE_MS) return [];
      const executed = Object.entries(showEntry(facts, papers).outputs).map(([node, output]) =>
        textFrame("executed", { node, display_node: node, output, prompt_id: id }),
      );
      return [...executed, ...endingOf(facts, true), endFrame(id)];
    }),
  );
  return told.flat();
}
