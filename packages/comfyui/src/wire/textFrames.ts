import { z } from "zod";
import {
  ExecutionCached,
  ExecutionError,
  ExecutionInterrupted,
  ExecutionStart,
  ExecutionSuccess,
} from "./execution.ts";
import { NodeOutput } from "./history.ts";
import { parseJson } from "./parseJson.ts";
import { Features } from "./serverFacts.ts";

/** State of one node inside `progress_state`; `pending` and `error` are never sent (§2.5). */
export const NodeProgress = z.looseObject({
  value: z.number(),
  max: z.number(),
  state: z.string(),
  node_id: z.string(),
  prompt_id: z.string(),
  display_node_id: z.string(),
  parent_node_id: z.string().nullable(),
  real_node_id: z.string(),
});
export type NodeProgress = z.infer<typeof NodeProgress>;

const StatusFrame = z.looseObject({
  type: z.literal("status"),
  data: z.looseObject({
    status: z.looseObject({ exec_info: z.looseObject({ queue_remaining: z.number() }) }),
    /** Only in the first frame of a connection. */
    sid: z.string().optional(),
  }),
});

/** `node: null` is the end marker; `prompt_id` is missing only in the frame sent on reconnect. */
const ExecutingFrame = z.looseObject({
  type: z.literal("executing"),
  data: z.looseObject({
    node: z.string().nullable(),
    display_node: z.string().nullable().optional(),
    prompt_id: z.string().optional(),
  }),
});

const ProgressFrame = z.looseObject({
  type: z.literal("progress"),
  data: z.looseObject({
    value: z.number(),
    max: z.number(),
    prompt_id: z.string().nullable().optional(),
    node: z.string().nullable().optional(),
  }),
});

const ProgressStateFrame = z.looseObject({
  type: z.literal("progress_state"),
  data: z.looseObject({ prompt_id: z.string(), nodes: z.record(z.string(), NodeProgress) }),
});

/** `output` is null for a cached output node without UI. */
const ExecutedFrame = z.looseObject({
  type: z.literal("executed"),
  data: z.looseObject({
    node: z.string(),
    display_node: z.string().nullable().optional(),
    output: NodeOutput.nullable(),
    prompt_id: z.string(),
  }),
});

const LogsFrame = z.looseObject({
  type: z.literal("logs"),
  data: z.looseObject({
    entries: z.array(z.looseObject({ t: z.string(), m: z.string() })),
    size: z.unknown().optional(),
  }),
});

const AssetsSeedFrame = z.looseObject({
  type: z.enum([
    "assets.seed.started",
    "assets.seed.progress",
    "assets.seed.fast_complete",
    "assets.seed.enrich_complete",
    "assets.seed.completed",
    "assets.seed.cancelled",
    "assets.seed.paused",
    "assets.seed.resumed",
    "assets.seed.error",
  ]),
  data: z.unknown().optional(),
});

/** Every text frame the protocol knows (§2.5). */
export const KnownTextFrame = z.discriminatedUnion("type", [
  StatusFrame,
  z.looseObject({ type: z.literal("execution_start"), data: ExecutionStart }),
  z.looseObject({ type: z.literal("execution_cached"), data: ExecutionCached }),
  ExecutingFrame,
  ProgressFrame,
  ProgressStateFrame,
  ExecutedFrame,
  z.looseObject({ type: z.literal("execution_success"), data: ExecutionSuccess }),
  z.looseObject({ type: z.literal("execution_error"), data: ExecutionError }),
  z.looseObject({ type: z.literal("execution_interrupted"), data: ExecutionInterrupted }),
  z.looseObject({ type: z.literal("feature_flags"), data: Features }),
  LogsFrame,
  AssetsSeedFrame,
  /** Comfy Cloud only. */
  z.looseObject({ type: z.literal("notification"), data: z.looseObject({ value: z.unknown().optional() }) }),
]);
export type KnownTextFrame = z.infer<typeof KnownTextFrame>;

/** A frame of a custom node, of a newer server, or not JSON at all. Never an error: custom nodes add their own. */
export interface UnknownTextFrame {
  readonly type: "unknown";
  /** What arrived: the parsed JSON, or the text itself when it was not JSON. */
  readonly received: unknown;
}

/** What `parseTextFrame` gives. */
export type TextFrame = KnownTextFrame | UnknownTextFrame;

/** Reads one text frame. Never throws: what is not understood comes back as `unknown`, whole. */
export function parseTextFrame(text: string): TextFrame {
  let received: unknown;
  try {
    received = parseJson(text);
  } catch {
    return { type: "unknown", received: text };
  }
  const known = KnownTextFrame.safeParse(received);
  return known.success ? known.data : { type: "unknown", received };
}

/** The first frame a client sends; only the first can matter (server.py websocket_handler). */
export const ClientHello = z.looseObject({
  type: z.literal("feature_flags"),
  data: z.record(z.string(), z.unknown()),
});
export type ClientHello = z.infer<typeof ClientHello>;
