import { HistoryEntry, type HistoryMessage, type NodeOutput } from "@comfyq/comfyui/wire";
import { isTerminal, type JobFacts, type StoredFile, type StoredValue } from "@comfyq/contract";
import type { PromptPapers } from "@comfyq/queue";
import * as z from "zod";
import type { Rooms } from "../../rooms.ts";

/** An ended job as ComfyUI's history has it. */
export interface ShownEntry extends HistoryEntry {
  readonly prompt: [number, string, Record<string, unknown>, Record<string, unknown>, string[]];
  readonly status: NonNullable<HistoryEntry["status"]>;
}

const KeptEntry = HistoryEntry.extend({ files: z.record(z.string(), z.string()).default({}) });

/** Undefined for a job that has not ended, is unknown, or another tenant's. */
export async function promptHistory(rooms: Rooms, tenant: string, id: string): Promise<ShownEntry | undefined> {
  const [facts, papers] = await Promise.all([
    rooms.producer.read(tenant, id),
    rooms.producer.prompts.papers(tenant, id),
  ]);
  return facts && papers && isTerminal(facts.status) ? showEntry(facts, papers) : undefined;
}

/** `[number, id, graph, extra data, output nodes]`, as queue and history have it. */
export function promptTuple(id: string, papers: PromptPapers): ShownEntry["prompt"] {
  const { prompt, workflow, extraData, createdAtMs } = papers;
  const extra = { ...extraData, create_time: extraData["create_time"] ?? createdAtMs };
  return [prompt?.number ?? 0, id, workflow, extra, [...(prompt?.outputs ?? [])]];
}

/** Pure. What ComfyUI said of it is shown while it agrees with what became of the job. */
export function showEntry(facts: JobFacts, papers: PromptPapers): ShownEntry {
  const kept = papers.entry === undefined ? undefined : KeptEntry.parse(JSON.parse(papers.entry));
  const { outputs = outputsOf(facts), meta = metaOf(outputs) } = kept ?? {};
  const isSuccess = facts.status === "succeeded";
  const agrees = kept?.status && (kept.status.status_str === "success") === isSuccess;
  const status = agrees && kept?.status ? kept.status : statusOf(facts);
  return { prompt: promptTuple(facts.id, papers), outputs, status, meta };
}

/** The name of one of a job's files in the store, by what its customer was told of it. */
export function storedName(papers: PromptPapers, path: string): string {
  return storedNames(papers)[path] ?? path.slice(path.lastIndexOf("/") + 1);
}

/** Names of a job's files in the store, by `<type>/<subfolder>/<filename>` as told; empty where ComfyUI's own words were not kept. */
export function storedNames({ entry }: PromptPapers): Readonly<Record<string, string>> {
  return entry === undefined ? {} : KeptEntry.parse(JSON.parse(entry)).files;
}

/** How ComfyUI would tell the end of a job, made from the job itself: it may never have met a ComfyUI. */
export function statusOf(facts: JobFacts): ShownEntry["status"] {
  const isSuccess = facts.status === "succeeded";
  return { status_str: isSuccess ? "success" : "error", completed: isSuccess, messages: messagesOf(facts) };
}

function messagesOf(facts: JobFacts): HistoryMessage[] {
  const begin = { prompt_id: facts.id, timestamp: Date.parse(facts.started_at ?? facts.created_at) };
  const end = { prompt_id: facts.id, timestamp: Date.parse(facts.completed_at ?? facts.created_at) };
  return [["execution_start", begin], ["execution_cached", { nodes: [], ...begin }], endMessage(facts, end)];
}

function endMessage(facts: JobFacts, end: { readonly prompt_id: string; readonly timestamp: number }): HistoryMessage {
  const { error, progress } = facts;
  if (facts.status === "succeeded") return ["execution_success", end];
  const place = {
    node_id: error?.node_id ?? progress?.current_node ?? "",
    node_type: error?.class_type ?? progress?.current_node_class ?? "",
    executed: [],
  };
  if (!error) return ["execution_interrupted", { ...place, ...end }];
  const exception_message = error.message;
  const exception = { exception_message, exception_type: `comfyq.${error.code}`, traceback: [] };
  return ["execution_error", { ...place, ...exception, current_inputs: {}, current_outputs: [], ...end }];
}

/** UI keys as ComfyUI's own nodes have them (reference/comfyui-protocol.md §3.4). */
const KEYS = {
  image: "images",
  video: "images",
  audio: "audio",
  "3d": "3d",
  latent: "latents",
  text: "files",
  file: "files",
} as const;

function outputsOf(facts: JobFacts): Record<string, NodeOutput> {
  const outputs: Record<string, Record<string, unknown[]>> = {};
  const add = (nodeId: string, key: string, item: unknown) => {
    const node = outputs[nodeId] ?? {};
    outputs[nodeId] = { ...node, [key]: [...(node[key] ?? []), item] };
  };
  for (const output of facts.outputs) {
    if (!("key" in output)) add(output.node_id, keyOfValue(output), output.value);
    else {
      add(output.node_id, KEYS[output.type === "value" ? "file" : output.type], fileOf(facts, output));
      if (output.type === "video") add(output.node_id, "animated", true);
    }
  }
  return outputs;
}

function fileOf({ id }: JobFacts, { name }: StoredFile) {
  return { filename: name, subfolder: id, type: "output" };
}

/** A value is named `<node>.<key>.<index>`. */
function keyOfValue({ name, node_id }: StoredValue): string {
  return name.slice(node_id.length + 1).replace(/\.\d+$/, "") || "value";
}

function metaOf(outputs: Readonly<Record<string, unknown>>): NonNullable<HistoryEntry["meta"]> {
  const own = (id: string) => ({ node_id: id, display_node: id, parent_node: null, real_node_id: id });
  return Object.fromEntries(Object.keys(outputs).map((id) => [id, own(id)]));
}
