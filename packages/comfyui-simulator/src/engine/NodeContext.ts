import type { Folders } from "../files/Folders.ts";
import type { OutputFiles } from "../files/OutputFiles.ts";
import type { Picture } from "../pictures/Picture.ts";
import type { Graph } from "./graph.ts";

/** A node's progress (comfy.utils.ProgressBar). */
export interface ProgressBar {
  /** @throws Interrupted when the prompt was interrupted */
  readonly update: (value: number, preview?: Picture) => void;
}

/** What a running node can do. */
export interface NodeContext {
  readonly nodeId: string;
  /** The submitted graph, as hidden inputs see it. */
  readonly graph: Graph;
  readonly extraData: Readonly<Record<string, unknown>>;
  readonly folders: Folders;
  readonly files: OutputFiles;
  /** Whether samplers shall send previews. */
  readonly previews: boolean;
  /** One sampler step, in simulated ms. */
  readonly stepMs: number;
  /** Lets simulated time pass. Cannot be interrupted, as a computation cannot. */
  readonly wait: (durationMs: number) => Promise<void>;
  readonly progressBar: (max: number) => ProgressBar;
  /** Sends a text that everybody gets (server.py send_progress_text). */
  readonly sendText: (text: string) => void;
  /** Sends a whole picture over the socket (SaveImageWebsocket). */
  readonly sendImage: (png: Buffer) => void;
  /** Brings a model into memory, which takes time when another one was there. */
  readonly useModel: (name: string) => Promise<void>;
  /** Ends the worker thread: the server goes on answering, but nothing runs any more. */
  readonly killWorker: () => never;
  /** Ends the process. */
  readonly crash: () => never;
  /** Raises a CUDA error now and in every later prompt, as a broken context does. */
  readonly breakCuda: () => never;
}
