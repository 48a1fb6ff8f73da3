import { isTerminal } from "@comfyq/contract";
import type { HeardNotice, PromptNotice } from "@comfyq/queue";
import type { Rooms } from "../../../rooms.ts";
import type { ClientSocket } from "./clientSocket.ts";
import { endFrame, endingOf, endsPrompt, statusFrame, textFrame, typeOf } from "./frames.ts";
import { lateFrames } from "./lateFrames.ts";

/** Jobs that are looked at when a client comes back, and when its queue is checked. */
const MOST_LOOKED_AT = 1_000;
/**
 * Of a prompt without a client id only these are shown, to everybody (reference/comfyui-protocol.md §2.4). Clients of Comfy Cloud name
 * none, and are told all (§6.1).
 */
const FOR_EVERYBODY: readonly string[] = ["progress", "progress_state", "execution_interrupted"];

/** A prompt whose end somebody here waits for. */
interface AwaitedPrompt {
  readonly clientId: string | null;
  wasBegun: boolean;
  /** From its last frame on: they are sent when the job has ended, or never, when another attempt begins. */
  held: (string | Uint8Array)[];
}

/**
 * The websockets of one tenant in this process. What is heard is worked through in order, so that each client gets its frames in
 * the order in which ComfyUI would have sent them; the end of a prompt is told when its job has ended and can be read.
 */
export class TenantSockets {
  readonly #rooms: Rooms;
  readonly #tenant: string;
  readonly #clients = new Map<string, Set<ClientSocket>>();
  readonly #prompts = new Map<string, AwaitedPrompt>();
  readonly #unlisten = new Map<string | undefined, () => void>();
  #openJobs = 0;
  /** Notices so far: what was read of the queue before the newest one is old. */
  #heardCount = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(rooms: Rooms, tenant: string) {
    this.#rooms = rooms;
    this.#tenant = tenant;
  }

  get isEmpty(): boolean {
    return this.#clients.size === 0;
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  /** Takes a socket in: it hears everything from its greeting on. Every socket of one client id hears the same. */
  async take(socket: ClientSocket, clientId: string): Promise<void> {
    const theirs = this.#clients.get(clientId) ?? new Set();
    this.#clients.set(clientId, theirs);
    await this.#listen(undefined);
    await this.#listen(clientId);
    await this.#inOrder(async () => {
      this.#openJobs = await this.#rooms.producer.prompts.countOpen(this.#tenant);
      socket.send(statusFrame(this.#openJobs, clientId));
      theirs.add(socket);
      await this.#resume(socket, clientId);
    });
  }

  drop(socket: ClientSocket, clientId: string): void {
    const theirs = this.#clients.get(clientId);
    theirs?.delete(socket);
    if (theirs?.size !== 0) return;
    this.#clients.delete(clientId);
    this.#unlisten.get(clientId)?.();
    this.#unlisten.delete(clientId);
  }

  close(): void {
    for (const unlisten of this.#unlisten.values()) unlisten();
    this.#unlisten.clear();
  }

  /** Looks for what was not heard: jobs of other doors, and ends whose notice was lost. */
  async look(): Promise<void> {
    const { prompts } = this.#rooms.producer;
    const heardBefore = this.#heardCount;
    const openJobs = await prompts.countOpen(this.#tenant);
    const open = this.#prompts.size > 0 ? await prompts.open(this.#tenant, MOST_LOOKED_AT) : [];
    await this.#inOrder(async () => {
      if (heardBefore !== this.#heardCount) return; // the next look sees more
      if (openJobs !== this.#openJobs) this.#tellStatus(openJobs);
      if (open.length >= MOST_LOOKED_AT) return;
      const ids = new Set(open.map(({ id }) => id));
      for (const jobId of [...this.#prompts.keys()]) if (!ids.has(jobId)) await this.#endIfEnded(jobId);
    });
  }

  async #listen(clientId: string | undefined): Promise<void> {
    if (this.#unlisten.has(clientId)) return;
    this.#unlisten.set(clientId, () => {});
    const hear = (heard: HeardNotice) => {
      this.#heardCount += 1;
      void this.#inOrder(() => this.#hear(heard, clientId));
    };
    this.#unlisten.set(clientId, await this.#rooms.producer.prompts.listen(this.#tenant, clientId, hear));
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    this.#tail = this.#tail.then(work).catch((err: unknown) => {
      this.#rooms.logger.warn({ err }, "a websocket could not be told");
    });
    return this.#tail;
  }

  /** As ComfyUI greets who comes back during their own prompt: the node at work, and nothing else again. */
  async #resume(socket: ClientSocket, clientId: string): Promise<void> {
    const { prompts } = this.#rooms.producer;
    if (socket.speaksCloud()) {
      for (const { id } of await prompts.openOf(this.#tenant, null, MOST_LOOKED_AT)) this.#await(id, null);
      for (const frame of await lateFrames(this.#rooms, this.#tenant)) socket.send(frame);
    }
    const jobs = await prompts.openOf(this.#tenant, clientId, MOST_LOOKED_AT);
    for (const { id, progress, stage } of jobs) {
      this.#await(id, clientId);
      const node = stage === "rendering" ? progress?.current_node : undefined;
      if (node) socket.send(textFrame("executing", { node }));
    }
  }

  async #hear({ notice, openJobs }: HeardNotice, clientId: string | undefined): Promise<void> {
    switch (notice.kind) {
      case "submitted":
        if (notice.clientId === null || this.#clients.has(notice.clientId)) this.#await(notice.jobId, notice.clientId);
        return this.#tellStatus(openJobs);
      case "started":
        return this.#tellStatus(openJobs);
      case "frame":
        return this.#tellFrame(notice, clientId ?? null);
      case "ended":
        this.#openJobs = openJobs ?? this.#openJobs;
        return this.#end(notice.jobId);
    }
  }

  #await(jobId: string, clientId: string | null): AwaitedPrompt {
    const known = this.#prompts.get(jobId) ?? { clientId, wasBegun: false, held: [] };
    this.#prompts.set(jobId, known);
    return known;
  }

  #tellFrame({ jobId, frame }: Extract<PromptNotice, { kind: "frame" }>, clientId: string | null): void {
    const prompt = this.#await(jobId, clientId);
    if (typeof frame === "string") {
      if (typeOf(frame) === "execution_start") prompt.held = []; // another attempt: what ended the one before does not count
      prompt.wasBegun = true;
      if (endsPrompt(frame) || prompt.held.length > 0) return void prompt.held.push(frame);
    } else if (prompt.held.length > 0) return;
    this.#send(prompt, frame);
  }

  async #end(jobId: string): Promise<void> {
    const prompt = this.#prompts.get(jobId);
    this.#prompts.delete(jobId);
    const last = prompt && (prompt.held.length > 0 ? prompt.held : await this.#endingOf(jobId, prompt));
    for (const frame of last ?? []) if (prompt) this.#send(prompt, frame);
    this.#tellStatus(undefined);
    if (prompt && last && last.length > 0) this.#send(prompt, endFrame(jobId));
  }

  /** Nothing for one that was canceled while it waited: ComfyUI tells nobody of that either. */
  async #endingOf(jobId: string, { wasBegun }: AwaitedPrompt): Promise<readonly string[]> {
    const facts = await this.#rooms.producer.read(this.#tenant, jobId);
    if (!facts || (facts.status === "canceled" && facts.attempts === 0)) return [];
    return endingOf(facts, wasBegun);
  }

  async #endIfEnded(jobId: string): Promise<void> {
    const facts = await this.#rooms.producer.read(this.#tenant, jobId);
    if (!facts || isTerminal(facts.status)) await this.#end(jobId);
  }

  #tellStatus(openJobs: number | undefined): void {
    this.#openJobs = openJobs ?? this.#openJobs;
    const frame = statusFrame(this.#openJobs);
    for (const sockets of this.#clients.values()) for (const socket of sockets) socket.send(frame);
  }

  #send({ clientId }: AwaitedPrompt, frame: string | Uint8Array): void {
    if (clientId !== null) {
      for (const socket of this.#clients.get(clientId) ?? []) socket.send(frame);
      return;
    }
    const isForEverybody = typeof frame !== "string" || FOR_EVERYBODY.includes(typeOf(frame));
    for (const sockets of this.#clients.values())
      for (const socket of sockets) if (isForEverybody || socket.speaksCloud()) socket.send(frame, "plain");
  }
}
