import { type ComfyEvent, type ComfyUi, type ConnectOptions, connectComfyUi } from "../../src/index.ts";
import { type Reply, type Script, ScriptedServer, type Seen, type ServerOptions } from "./scriptedServer.ts";

/** A queue item or history tuple: `[number, id, graph, extraData, outputs]`. */
export type Tuple = [number, string, Record<string, unknown>, Record<string, unknown>, string[]];

/**
 * What a ComfyUI says, set by hand: the test moves prompts between the lists, nothing moves by itself. A route in
 * `routes` (`"POST /prompt"`) replaces the answer of that route.
 */
class ComfyScript {
  version: string | undefined = "0.33.0";
  running: Tuple[] = [];
  pending: Tuple[] = [];
  readonly history = new Map<string, unknown>();
  readonly routes: Record<string, Script> = {};

  readonly answer: Script = (request) => {
    const route = `${request.method} ${request.path}`;
    const own = this.routes[route];
    return own ? own(request) : this.#byRoute(route, request);
  };

  #byRoute(route: string, request: Seen): Reply {
    if (route === "POST /prompt") return this.accept(request);
    if (route === "GET /prompt")
      return { json: { exec_info: { queue_remaining: this.running.length + this.pending.length } } };
    if (route === "GET /queue") return { json: { queue_running: this.running, queue_pending: this.pending } };
    if (route === "GET /system_stats")
      return { json: { system: this.version ? { comfyui_version: this.version } : {}, devices: [] } };
    if (route === "GET /features") return { json: { supports_preview_metadata: true, max_upload_size: 104857600 } };
    if (request.method === "GET" && request.path.startsWith("/history/")) {
      const id = decodeURIComponent(request.path.slice("/history/".length));
      return { json: this.history.has(id) ? { [id]: this.history.get(id) } : {} };
    }
    return { status: 404, text: "404: Not Found" };
  }

  /** Puts the submitted prompt at work, and says yes. */
  accept({ json }: Seen): Reply {
    const id = promptIdOf(json);
    this.running = [tupleOf(json)];
    return { json: { prompt_id: id, number: 0, node_errors: {} } };
  }

  /** Moves whatever runs into history. */
  finish(outputs: Record<string, unknown> = { "2": { images: [FILE] } }): void {
    for (const tuple of this.running) this.history.set(tuple[1], successEntry(tuple, outputs));
    this.running = [];
  }
}

export const FILE = { filename: "ComfyUI_00001_.png", subfolder: "", type: "output" };

export const WORKFLOW = {
  "1": { class_type: "EmptyImage", inputs: { width: 16, height: 16, color: 9 } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "ComfyUI" } },
};

export const PROMPT_ID = "8f14e45f-ceea-467f-a4ab-0c9d1e2f3a4b";

function promptIdOf(json: unknown): string {
  return typeof json === "object" && json !== null && "prompt_id" in json ? String(json.prompt_id) : "";
}

export function tupleOf(json: unknown): Tuple {
  const clientId = typeof json === "object" && json !== null && "client_id" in json ? json.client_id : undefined;
  return [0, promptIdOf(json), WORKFLOW, { client_id: clientId }, ["2"]];
}

export function successEntry(tuple: Tuple, outputs: Record<string, unknown>): unknown {
  const messages = [
    ["execution_start", { prompt_id: tuple[1], timestamp: 1 }],
    ["execution_cached", { nodes: [], prompt_id: tuple[1], timestamp: 1 }],
    ["execution_success", { prompt_id: tuple[1], timestamp: 2 }],
  ];
  return { prompt: tuple, outputs, status: { status_str: "success", completed: true, messages }, meta: {} };
}

/** One scripted ComfyUI and one client of it. */
export interface Stage extends AsyncDisposable {
  readonly server: ScriptedServer;
  readonly script: ComfyScript;
  readonly comfyui: ComfyUi;
  readonly events: ComfyEvent[];
  /** Submits the usual workflow under the usual id. */
  submit(): ReturnType<ComfyUi["submit"]>;
}

export async function setup(options: Partial<ConnectOptions> & ServerOptions = {}): Promise<Stage> {
  const { sockets, ...connect } = options;
  const script = new ComfyScript();
  const server = await ScriptedServer.start(script.answer, sockets === undefined ? {} : { sockets });
  const events: ComfyEvent[] = [];
  const comfyui = connectComfyUi({ url: server.url, pollMs: 20, onEvent: (event) => events.push(event), ...connect });
  return {
    server,
    script,
    comfyui,
    events,
    submit: () => comfyui.submit({ promptId: PROMPT_ID, workflow: WORKFLOW }),
    async [Symbol.asyncDispose]() {
      await comfyui.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Waits for a fact. Fails by the test's own time limit. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
}
