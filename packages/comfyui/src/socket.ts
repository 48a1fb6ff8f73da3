import { randomUUID } from "node:crypto";
import { WebSocket } from "ws";
import type { Address } from "./address.ts";
import { every, sleep } from "./clock.ts";

/** The one WebSocket to a server: opened once, kept open, reopened when lost. Frames may still be missed. */
export interface FrameSocket {
  /** Submit with this id to be sent the prompt's frames. It changes when a connection is lost uncleanly. */
  readonly clientId: string;
  /** True from the server's first frame until the connection is lost. */
  readonly isHearing: boolean;
  /** Resolves when the socket hears, when its first try has failed, or after `maxMs`; never rejects but by the signal. */
  settled(maxMs: number, signal: AbortSignal): Promise<void>;
  /** Drops the connection and opens another under a new id. */
  renew(reason: string): void;
  close(): Promise<void>;
}

/** Where to connect, and who is told of what arrives. */
export interface SocketOptions {
  readonly address: Address;
  readonly clientId: string | undefined;
  readonly heartbeatMs: number;
  /** Is the server slow over HTTP too? Asked when the socket is silent. */
  readonly isBusy: () => Promise<boolean>;
  readonly onText: (text: string) => void;
  readonly onBinary: (bytes: Uint8Array) => void;
  readonly onOpen: (clientId: string) => void;
  readonly onLost: (clientId: string, reason: string) => void;
}

/** Why and how a connection ended. */
interface Loss {
  /** The server had begun to talk to us. */
  readonly wasHearing: boolean;
  /** Ended by a close handshake, so that the server has forgotten the client id. */
  readonly isClean: boolean;
  readonly reason: string;
}

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
const NO_CLOSE_FRAME = 1006;

/** Only the first frame of a client can matter, and `data` must be an object (§2.1). */
const HELLO = JSON.stringify({ type: "feature_flags", data: { supports_preview_metadata: true } });

/** Connects at once, and goes on until `close`. */
export function openSocket(options: SocketOptions): FrameSocket {
  return new KeptSocket(options);
}

class KeptSocket implements FrameSocket {
  readonly #options: SocketOptions;
  readonly #baseId: string;
  readonly #closing = new AbortController();
  readonly #connected: Promise<void>;
  #clientId: string;
  #isHearing = false;
  /** False once a try has failed since we last heard anything: then it is not worth waiting for. */
  #isHopeful = true;
  #changed = new AbortController();
  #live: WebSocket | undefined;
  #drop: (reason: string) => void = () => {};

  constructor(options: SocketOptions) {
    this.#options = options;
    this.#baseId = options.clientId ?? randomUUID().replaceAll("-", "");
    this.#clientId = this.#baseId;
    this.#connected = this.#stayConnected();
  }

  get clientId(): string {
    return this.#clientId;
  }

  get isHearing(): boolean {
    return this.#isHearing;
  }

  async settled(maxMs: number, signal: AbortSignal): Promise<void> {
    if (this.#isHearing || !this.#isHopeful) return;
    await sleep(maxMs, AbortSignal.any([this.#changed.signal, signal])).catch(() => signal.throwIfAborted());
  }

  renew(reason: string): void {
    this.#drop(reason);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#live?.close(1000);
    // A dead peer never answers the close frame.
    const giveUp = every(500, () => this.#live?.terminate());
    await this.#connected;
    giveUp();
  }

  async #stayConnected(): Promise<void> {
    let failures = 0;
    while (!this.#closing.signal.aborted) {
      const loss = await this.#hold();
      this.#isHopeful = loss.wasHearing;
      this.#announce();
      if (this.#closing.signal.aborted) return;
      this.#options.onLost(this.#clientId, loss.reason);
      failures = loss.wasHearing ? 0 : failures + 1;
      // The server may notice the end of the old socket only minutes later, and would then mute a newer one that
      // carries the same id (§2.2).
      if (loss.wasHearing && !loss.isClean) this.#clientId = `${this.#baseId}-${randomUUID().slice(0, 8)}`;
      await sleep(backoffMs(failures), this.#closing.signal).catch(() => undefined);
    }
  }

  /** Opens one connection and stays with it until it is gone. */
  #hold(): Promise<Loss> {
    const { address } = this.#options;
    const socket = new WebSocket(address.socketUrl(this.#clientId), {
      headers: address.headers,
      handshakeTimeout: 5_000,
      perMessageDeflate: false,
      maxPayload: 256 * 1024 * 1024, // SaveImageWebsocket delivers whole images
    });
    let reason = "";
    this.#live = socket;
    this.#drop = (why) => {
      reason ||= why;
      socket.terminate();
    };
    const stopBeating = keepAlive(socket, this.#options, this.#drop);
    socket.on("open", () => socket.send(HELLO));
    socket.on("error", (error) => {
      reason ||= error.message;
    });
    socket.on("message", (bytes: Buffer, isBinary) => this.#take(bytes, isBinary));
    return new Promise((resolve) => {
      socket.on("close", (code, text) => {
        stopBeating();
        const wasHearing = this.#isHearing;
        this.#isHearing = false;
        resolve({ wasHearing, isClean: code !== NO_CLOSE_FRAME, reason: reason || text.toString() || `code ${code}` });
      });
    });
  }

  #take(bytes: Buffer, isBinary: boolean): void {
    if (!this.#isHearing) {
      this.#isHearing = true;
      this.#announce();
      this.#options.onOpen(this.#clientId);
    }
    if (isBinary) this.#options.onBinary(bytes);
    else this.#options.onText(bytes.toString("utf8"));
  }

  #announce(): void {
    this.#changed.abort();
    this.#changed = new AbortController();
  }
}

/** Longest silence of a socket whose server is busy, in heartbeats. */
const MOST_MISSED_BEATS = 24;

/**
 * Pings, and drops a connection that stays silent for a whole interval although the server answers over HTTP: ComfyUI
 * never pings (§2.1), so this is how a half-open connection is noticed. A server that is slow at both is loading a model
 * (§3.1); dropping its socket would cost the running prompt the rest of its frames, because a new one needs a new id.
 * One that answers pings but was never greeted is dropped too: ComfyUI always begins with a `status` frame.
 */
function keepAlive(
  socket: WebSocket,
  { heartbeatMs, isBusy }: SocketOptions,
  drop: (reason: string) => void,
): () => void {
  let isGreeted = false;
  let beats = 0;
  let missed = 0;
  socket.on("pong", () => {
    missed = 0;
  });
  socket.on("message", () => {
    missed = 0;
    isGreeted = true;
  });

  async function checkSilence(): Promise<void> {
    const isExcused = missed < MOST_MISSED_BEATS && (await isBusy());
    if (missed > 1 && !isExcused) drop(`no sign of life for ${heartbeatMs} ms`); // it may have spoken meanwhile
  }

  return every(heartbeatMs, () => {
    if (socket.readyState !== WebSocket.OPEN) return;
    beats += 1;
    missed += 1;
    if (!isGreeted && beats > 2) drop("the server did not greet us");
    else if (missed > 1) void checkSilence();
    socket.ping();
  });
}

/** Grows to a cap, with jitter so that many workers do not return in step. */
function backoffMs(failures: number): number {
  const full = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures);
  return full * (0.5 + Math.random() / 2);
}
