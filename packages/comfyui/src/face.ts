import type { FetchElsewhere, FileAddress, Upload, Uploaded, ViewedFile, ViewOptions } from "./files.ts";
import type { FileType, HistoryEntry, Job, NodeErrors, ObjectInfo, SystemStats, Workflow } from "./wire/index.ts";

/** `local`: a ComfyUI server. `cloud`: Comfy Cloud v1, or whatever speaks like it (§6.1). */
export type Dialect = "local" | "cloud";

/** One frame of a prompt: text, parsed, or the bytes of a binary one. */
export type OverheardFrame = { readonly type: string; readonly data?: unknown } | Uint8Array;

/** How to reach one ComfyUI. All limits have defaults that suit a real server. */
export interface ConnectOptions {
  /** `http(s)://host[:port][/base]`. `localhost` is taken as 127.0.0.1. */
  readonly url: string;
  /** Sent as `X-API-Key` (and as `token` on Comfy Cloud's socket). Never sent to a host it was not given for. */
  readonly apiKey?: string;
  /** Taken from the host name when absent: cloud.comfy.org is `cloud`. */
  readonly dialect?: Dialect;
  /** Prefix of the socket's id; an unclean reconnect appends to it. Random when absent. */
  readonly clientId?: string;
  readonly onEvent?: (event: ComfyEvent) => void;
  /** Fetches what is redirected to another origin. Without it any address is followed, always without our headers. */
  readonly fetchElsewhere?: FetchElsewhere;
  /** Longest wait for one whole answer. Default 30 000. */
  readonly requestTimeoutMs?: number;
  /** Longest wait for the answer to a submission; ComfyUI validates and may be loading a model. Default 60 000. */
  readonly submitTimeoutMs?: number;
  /** Longest silence within a body that is streamed, up or down. Default 60 000. */
  readonly idleMs?: number;
  /** How often a watched prompt is looked up when no frame hurries us. Default 1 000. */
  readonly pollMs?: number;
  /** How long the server may stay unreachable while a prompt is watched. Default 60 000. */
  readonly unreachableMs?: number;
  /** Ping interval of the socket; as long again without any sign of life, and it counts as dead. Default 5 000. */
  readonly heartbeatMs?: number;
}

/** What the client does on its own, for whoever logs. Never carries a graph, a key or a customer's value. */
export type ComfyEvent =
  | { readonly type: "socket_open"; readonly clientId: string }
  | { readonly type: "socket_lost"; readonly clientId: string; readonly reason: string }
  | { readonly type: "features_detected"; readonly features: ComfyFeatures }
  | { readonly type: "submission_resolved"; readonly promptId: string; readonly found: string }
  | { readonly type: "prompt_id_replaced"; readonly promptId: string; readonly serverPromptId: string }
  | { readonly type: "prompt_unreachable"; readonly promptId: string; readonly cause: unknown }
  | { readonly type: "listener_failed"; readonly promptId: string; readonly cause: unknown };

/** What this server can do, found out by its version and, where that is silent, by asking. */
export interface ComfyFeatures {
  readonly dialect: Dialect;
  /** `system.comfyui_version`, when the server tells. */
  readonly version?: string;
  /** `GET /api/jobs` (≥ 0.5.1). */
  readonly jobsApi: boolean;
  /** `POST /api/jobs/{id}/cancel` (≥ 0.25.0). */
  readonly cancelEndpoint: boolean;
  /** `/interrupt` looks at `prompt_id` (≥ 0.3.56); before, it interrupts whatever runs. */
  readonly targetedInterrupt: boolean;
  /** `uuid`: only canonical lowercase UUIDs (≥ 0.24.0). `any`: any text. `minted`: ours is ignored. */
  readonly promptIds: "uuid" | "any" | "minted";
  /** `/queue` does not show the keys for API nodes in `extra_data` (≥ 0.3.67). */
  readonly hidesKeys: boolean;
  /** Largest body the server takes, in bytes. */
  readonly maxUploadBytes?: number;
}

/** What to run, and under which id. */
export interface Submission {
  /** A lowercase UUID of the caller's, made and stored before the call. */
  readonly promptId: string;
  readonly workflow: Workflow;
  /** Kept by the server with the prompt and in history (except `api_key_comfy_org`, which it hides). */
  readonly extraData?: Readonly<Record<string, unknown>>;
  /** `"all"`: before everything pending. A number: just before the queue item with this `number`. */
  readonly frontOf?: "all" | number;
  /** Run only these output nodes. */
  readonly onlyOutputs?: readonly string[];
  readonly signal?: AbortSignal;
}

/** What the server made of a submission. */
export interface Submitted {
  /** The server's id: watch this one. It differs from the submission's on servers that mint their own. */
  readonly promptId: string;
  /** Priority in the queue; smaller runs first. */
  readonly number: number;
  /** Not empty when the server dropped invalid outputs but runs the others; without reasons when the answer was lost. */
  readonly nodeErrors: NodeErrors;
}

/**
 * Where a prompt is now. `unknown`: deleted, cancelled while pending, evicted, lost in a restart, or never sent.
 * Comfy Cloud shows neither the queue item nor what is ahead of it.
 */
export type Found =
  | { readonly kind: "pending"; readonly ahead?: number; readonly item?: QueuedPrompt }
  | { readonly kind: "running"; readonly item?: QueuedPrompt }
  | { readonly kind: "finished"; readonly entry: HistoryEntry }
  | { readonly kind: "unknown" };

/** A prompt that waits or runs. */
export interface QueuedPrompt {
  readonly promptId: string;
  readonly number: number;
  readonly workflow: Workflow;
  readonly extraData: Readonly<Record<string, unknown>>;
  /** The output nodes that will run. */
  readonly outputNodeIds: readonly string[];
}

/** A prompt as the server shows it. */
export type SeenPrompt = Pick<QueuedPrompt, "promptId" | "workflow" | "extraData">;

/** A prompt in the server's history, and what was sent with it. */
export type FinishedPrompt = Pick<QueuedPrompt, "promptId" | "extraData">;

/** Both lists in execution order. */
export interface Queue {
  readonly running: readonly QueuedPrompt[];
  readonly pending: readonly QueuedPrompt[];
}

/** A complete picture each time. `nodesDone` never falls within one watch. */
export interface PromptProgress {
  readonly nodesTotal: number;
  /** Finished or taken from the cache. */
  readonly nodesDone: number;
  readonly nodesCached: number;
  /** The node at work, with its own steps (`max` is 1 for a node that does not count). */
  readonly node?: {
    readonly node_id: string;
    readonly class_type?: string;
    readonly value: number;
    readonly max: number;
  };
}

/** A node of the submitted graph that begins to work; without a class when the graph is not known. */
export interface NodeStarted {
  readonly node_id: string;
  readonly class_type?: string;
}

/** A text that a node shows while it works (TEXT frames, §2.7). */
export interface NodeText {
  readonly node_id: string;
  readonly text: string;
}

/** An image of the work so far; `node_id` only from servers that send it (≥ 0.3.44). */
export interface Preview {
  readonly node_id?: string;
  readonly contentType: string;
  readonly image: Uint8Array;
}

/** A file that a node left on the server; fetch it with `view`. */
export interface OutputFile {
  readonly node_id: string;
  /** The UI key it came under: `images`, `gifs`, `audio`, `3d`, `files`, … It says nothing about the kind. */
  readonly key: string;
  /** Position among this node's files under this key. */
  readonly index: number;
  readonly filename: string;
  readonly subfolder: string;
  readonly type: FileType;
}

/** A plain value that a node returned: a text, a number, any JSON. */
export interface OutputValue {
  readonly node_id: string;
  readonly key: string;
  readonly index: number;
  readonly value: unknown;
}

/** Both lists in node order. */
export interface PromptOutputs {
  readonly files: readonly OutputFile[];
  readonly values: readonly OutputValue[];
}

/** Everything that one node returned. */
export interface NodeOutputs extends PromptOutputs {
  readonly node_id: string;
}

/** When to give up, and whom to tell. Callbacks are called in order and must return quickly. */
export interface WatchOptions {
  readonly signal: AbortSignal;
  /**
   * Silence after which the prompt counts as stuck; 0 turns this off. Four times as long while no socket hears it.
   * A function is asked again at every look, with the node that was last heard to be at work.
   */
  readonly stallMs: number | ((node: NodeStarted | undefined) => number);
  /** What was submitted, for progress where the server does not show it: Comfy Cloud. */
  readonly workflow?: Workflow;
  readonly onProgress?: (progress: PromptProgress) => void;
  readonly onNode?: (node: NodeStarted) => void;
  /** Once per node that ended and was heard all the time: its longest silence while it was at work. */
  readonly onSilence?: (node: NodeStarted, longestMs: number) => void;
  /**
   * Once, when a frame says that the prompt has run to its end: ComfyUI begins the next one. History, which decides what came of
   * it, follows within moments; a prompt that nobody hears ends without this.
   */
  readonly onSuccess?: () => void;
  readonly onPreview?: (preview: Preview) => void;
  /** A text that a node sends while it works. */
  readonly onText?: (text: NodeText) => void;
  /** Once per node that returned anything, as early as it is known, and before `watch` returns. */
  readonly onOutput?: (outputs: NodeOutputs) => void;
}

/** How a prompt ended well. */
export interface Rendered {
  readonly entry: HistoryEntry;
  readonly outputs: PromptOutputs;
  /** Every node that this prompt needed came from the cache: files may be old ones. */
  readonly isCached: boolean;
}

/** How long to insist. */
export interface CancelOptions {
  readonly signal?: AbortSignal;
  /** How long to keep asking. */
  readonly deadlineMs: number;
}

/** What came of a cancellation. */
export interface Cancelled {
  /** True when the prompt is gone from the queue, however it ended. */
  readonly stopped: boolean;
  readonly stopMs: number;
  /** The node that ignored interrupts for more than 3 s. When not stopped, only a restart of ComfyUI ends it. */
  readonly stuckNode?: NodeStarted;
}

/**
 * One ComfyUI, local or Comfy Cloud. Every call takes or makes a deadline, and every failure is a `ComfyError`, except
 * that an aborted signal throws its own reason.
 */
export interface ComfyUi {
  /**
   * Submits once. When the answer is lost, queue and history say whether the prompt exists; it is never sent twice.
   * There is no duplicate check on the server: `find` first when this id may have been submitted before.
   * @throws ComfyError `rejected` | `payload_too_large` | `unauthorized` | `payment_required` | `rate_limited` |
   * `unknown_outcome` | `unreachable` | `busy` | `protocol`
   */
  submit(submission: Submission): Promise<Submitted>;
  /** Looks in history, then in the queue, then in history again: the order that cannot miss (§3.2). */
  find(promptId: string, options?: { signal?: AbortSignal }): Promise<Found>;
  /**
   * Waits until the prompt has ended. Frames only hurry us; `/history` decides. Safe to call again, also after a restart
   * of ours. Cancels nothing when aborted.
   * @throws ComfyError `node_failed` | `out_of_memory` | `cuda_fault` | `disk_full` | `interrupted` | `prompt_lost` | `stalled` |
   * `unreachable` | `busy` | `payment_required` | `rate_limited` | `unauthorized`; the signal's reason when aborted
   */
  watch(promptId: string, options: WatchOptions): Promise<Rendered>;
  /**
   * Hears every frame of one prompt as ComfyUI sent it, from its first one on, but for `status` and those that name no prompt.
   * @returns the way out
   */
  overhear(promptId: string, hear: (frame: OverheardFrame) => void): () => void;
  /** Interrupts or dequeues until the queue no longer shows the prompt, again every second. Ends within 1 s of its deadline. */
  cancel(promptId: string, options: CancelOptions): Promise<Cancelled>;
  /** Streams one file to the server. Safe to repeat: equal contents keep their name. */
  upload(upload: Upload): Promise<Uploaded>;
  /** @throws ComfyError `not_found` | `unsafe_path` | `unreachable` | `busy` */
  view(file: FileAddress, options?: ViewOptions): Promise<ViewedFile>;
  /**
   * How long a file of the server is; undefined when it is not there. Cheap: no bytes are sent. Comfy Cloud never tells.
   * @throws ComfyError `unsafe_path` | `unreachable` | `busy`
   */
  sizeOf(file: FileAddress, options?: { signal?: AbortSignal }): Promise<number | undefined>;
  /** Deletes the prompt's history entry (not its files). Does nothing when there is none. */
  forget(promptId: string): Promise<void>;
  queue(options?: { signal?: AbortSignal }): Promise<Queue>;
  history(promptId: string, options?: { signal?: AbortSignal }): Promise<HistoryEntry | undefined>;
  /** The newest prompts in history, at most so many (each with its whole graph on the wire); none on Comfy Cloud. */
  finished(limit: number, options?: { signal?: AbortSignal }): Promise<readonly FinishedPrompt[]>;
  /**
   * Looks for a prompt whose id is not known (a lost answer of a server that mints ids): among those that wait or run, then among the
   * newest that have ended. Comfy Cloud shows the graphs of the former and the extra data of the latter; the rest is empty.
   */
  seek(isWanted: (prompt: SeenPrompt) => boolean, options?: { signal?: AbortSignal }): Promise<string | undefined>;
  /** What the jobs API says of a prompt; undefined for unknown ids, and on servers without one (before 0.5.1). */
  job(promptId: string, options?: { signal?: AbortSignal }): Promise<Job | undefined>;
  /** Carried out after the current prompt; `freeMemory` also empties the result cache. */
  free(what: { unloadModels?: boolean; freeMemory?: boolean }): Promise<void>;
  stats(): Promise<SystemStats>;
  /** All classes (megabytes, and the server stands still meanwhile), or one; `{}` when that one is unknown. */
  objectInfo(classType?: string): Promise<ObjectInfo>;
  /** Names of its folders of models (undefined: it does not tell), and in one of them, sub-folders and all (undefined: there is none). */
  modelFolders(options?: { signal?: AbortSignal }): Promise<readonly string[] | undefined>;
  models(folder: string, options?: { signal?: AbortSignal }): Promise<readonly string[] | undefined>;
  features(): Promise<ComfyFeatures>;
  /** Does anything answer HTTP here? A server that takes the connection but is slow counts as reachable. */
  isReachable(options?: { signal?: AbortSignal; withinMs?: number }): Promise<boolean>;
  /** Ends the socket and all connections; waits that are under way fail with `closed`. Safe to repeat. */
  close(): Promise<void>;
}
