import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { type Simulator, type SimulatorOptions, startSimulator } from "../src/index.ts";

/** A text frame as it came, or the bytes of a binary one. */
export type Frame = { readonly type: string; readonly data: Record<string, unknown> } | Uint8Array;

/** An open websocket and everything it has received. */
export interface Listener {
  readonly socket: WebSocket;
  readonly frames: Frame[];
  /** `type` of text frames; `BIN1`, `BIN3`, `BIN4` of binary ones. */
  readonly types: () => string[];
  /** Waits for the first frame that is wanted, and returns it. */
  readonly until: (isWanted: (frame: TextFrame) => boolean) => Promise<TextFrame>;
  /** A ping and its pong: what was sent before has arrived then. */
  readonly flush: () => Promise<void>;
  readonly close: () => Promise<void>;
}
type TextFrame = Exclude<Frame, Uint8Array>;

/** Starts a simulator that ends with the test. */
export async function start(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator({ stepMs: 0, ...options });
  onTestFinished(() => simulator.close());
  return simulator;
}

/** Opens a websocket. Its first frame has arrived when this resolves. */
export async function listen(
  simulator: Pick<Simulator, "url">,
  clientId?: string,
  flags?: Record<string, unknown>,
): Promise<Listener> {
  const socket = new WebSocket(socketUrl(simulator, clientId));
  const frames: Frame[] = [];
  let wake = (): void => {};
  socket.on("error", () => {});
  socket.on("message", (payload: Buffer, isBinary) => {
    frames.push(isBinary ? new Uint8Array(payload) : (JSON.parse(payload.toString()) as TextFrame)); // only the simulator writes it
  });
  const until: Listener["until"] = async (isWanted) => {
    for (;;) {
      const found = frames.filter((frame): frame is TextFrame => !(frame instanceof Uint8Array)).find(isWanted);
      if (found) return found;
      if (socket.readyState === WebSocket.CLOSED) throw new Error("the socket closed before the frame came");
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  socket.on("message", () => wake());
  socket.on("close", () => wake());
  await once(socket, "open");
  await until(({ type }) => type === "status");
  if (flags) {
    socket.send(JSON.stringify({ type: "feature_flags", data: flags }));
    await until(({ type }) => type === "feature_flags");
  }
  const close = async (): Promise<void> => {
    if (socket.readyState === WebSocket.CLOSED) return;
    const closed = once(socket, "close");
    socket.terminate();
    await closed;
  };
  return {
    socket,
    frames,
    types: () => frames.map((frame) => (frame instanceof Uint8Array ? `BIN${frame[3]}` : frame.type)),
    until,
    flush: async () => {
      const pong = once(socket, "pong");
      socket.ping();
      await pong;
    },
    close,
  };
}

/** Where a client's websocket is. */
export function socketUrl(simulator: Pick<Simulator, "url">, clientId?: string): string {
  const query = clientId === undefined ? "" : `?clientId=${clientId}`;
  return `${simulator.url.replace("http", "ws")}/ws${query}`;
}

/** Asks until the answer is as wanted, and returns it. */
export async function eventually<Answer>(
  ask: () => Answer | Promise<Answer>,
  isWanted: (answer: Answer) => boolean,
): Promise<Answer> {
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    await pause(3); // between two questions, so that the answerer has a processor too
  }
}

/** Restarts, and waits until `fetch` has noticed that its kept connections are gone. */
export async function restart(simulator: Simulator): Promise<void> {
  await simulator.restart();
  await eventually(
    () =>
      fetch(`${simulator.url}/prompt`)
        .then(({ ok }) => ok)
        .catch(() => false),
    (isBack) => isBack,
  );
}

/** Reads JSON as what the test then asserts it to be. */
export async function readJson<Answer>(answer: Response | Promise<Response>): Promise<Answer> {
  return (await (await answer).json()) as Answer;
}

export function post(simulator: Pick<Simulator, "url">, path: string, body?: unknown): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(simulator.url + path, { method: "POST", ...(body === undefined ? {} : { body: text }) });
}

export interface PromptAnswer {
  readonly prompt_id: string;
  readonly number: number;
  readonly node_errors: Record<string, { errors: { type: string; details: string; extra_info: unknown }[] }>;
  readonly error: { type: string; details: string; message: string };
}

/** Submits a graph and returns the parsed answer with its status. */
export async function submit(
  simulator: Pick<Simulator, "url">,
  prompt: unknown,
  more: Record<string, unknown> = {},
): Promise<PromptAnswer & { readonly status: number }> {
  const answer = await post(simulator, "/prompt", { prompt, ...more });
  return { status: answer.status, ...(await readJson<PromptAnswer>(answer)) };
}

export interface Entry {
  readonly prompt: [
    number,
    string,
    Record<string, { inputs: Record<string, unknown> }>,
    Record<string, unknown>,
    string[],
  ];
  readonly outputs: Record<string, Record<string, { filename: string; subfolder: string; type: string }[]>>;
  readonly status: { status_str: string; completed: boolean; messages: [string, Record<string, unknown>][] };
}

/** Waits for a prompt's history entry. */
export async function finished(simulator: Pick<Simulator, "url">, promptId: string): Promise<Entry> {
  const answer = await eventually(
    () => readJson<Record<string, Entry>>(fetch(`${simulator.url}/history/${promptId}`)),
    (history) => promptId in history,
  );
  const entry = answer[promptId];
  if (!entry) throw new Error("unreachable");
  return entry;
}

/** Submits a graph that is valid, and waits for its end. */
export async function run(
  simulator: Pick<Simulator, "url">,
  prompt: unknown,
  more: Record<string, unknown> = {},
): Promise<Entry & { readonly id: string }> {
  const { status, prompt_id, ...refusal } = await submit(simulator, prompt, more);
  if (status !== 200) throw new Error(`the graph was refused: ${JSON.stringify(refusal)}`);
  return { id: prompt_id, ...(await finished(simulator, prompt_id)) };
}

/** One picture, made without a model and saved. */
export const picture = (seed = 1, prefix = "ComfyUI"): Record<string, unknown> => ({
  "1": { class_type: "SimPicture", inputs: { text: "a red fox", seed, width: 64, height: 64 } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: prefix } },
});

/** Something that takes time, in front of a text output. */
export const slow = (ms: number, steps: number, value = "done"): Record<string, unknown> => ({
  "1": { class_type: "SimSleep", inputs: { ms, steps, value } },
  "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
});
