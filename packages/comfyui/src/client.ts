import { type Address, parseAddress } from "./address.ts";
import { sleep } from "./clock.ts";
import { isComfyError } from "./errors.ts";
import type { ComfyEvent, ComfyFeatures, ConnectOptions, Found } from "./face.ts";
import { detectFeatures } from "./features.ts";
import { createFrameRouter, type FrameRouter } from "./frames.ts";
import { createHttp, type Http } from "./http.ts";
import { lookUp, lookUpInQueue } from "./lookUp.ts";
import type { Asked } from "./readHistory.ts";
import { type FrameSocket, openSocket } from "./socket.ts";
import { PATHS } from "./wire/index.ts";

/** In ms; see `ConnectOptions`. */
const DEFAULTS = {
  requestTimeoutMs: 30_000,
  submitTimeoutMs: 60_000,
  pollMs: 1_000,
  unreachableMs: 60_000,
  heartbeatMs: 5_000,
  idleMs: 60_000,
};

function pickFetch({ fetchElsewhere }: ConnectOptions) {
  return fetchElsewhere ? { fetchElsewhere } : {};
}

/** Everything that one connection to a server holds. Nothing is opened until it is needed. */
export class Client {
  readonly address: Address;
  readonly http: Http;
  readonly router: FrameRouter;
  readonly limits: typeof DEFAULTS;
  readonly report: (event: ComfyEvent) => void;
  readonly #clientId: string | undefined;
  #socket: FrameSocket | undefined;
  #features: Promise<ComfyFeatures> | undefined;
  #mintsIds: boolean;

  constructor(options: ConnectOptions) {
    this.limits = { ...DEFAULTS, ...options };
    this.address = parseAddress(options);
    this.http = createHttp(this.address, { ...this.limits, ...pickFetch(options) });
    const isCloud = this.address.dialect === "cloud";
    this.router = createFrameRouter(isCloud);
    this.report = options.onEvent ?? (() => {});
    this.#clientId = options.clientId;
    this.#mintsIds = isCloud;
  }

  /** The one socket; the first call opens it. */
  get socket(): FrameSocket {
    this.http.closed.throwIfAborted(); // nobody would close a socket opened now
    this.#socket ??= openSocket({
      address: this.address,
      clientId: this.#clientId,
      heartbeatMs: this.limits.heartbeatMs,
      isBusy: () => this.#isBusy(),
      onText: (text) => this.router.onText(text),
      onBinary: (bytes) => this.router.onBinary(bytes),
      onOpen: (clientId) => {
        this.#features = undefined; // after a gap it may be another server
        this.router.onGap();
        this.report({ type: "socket_open", clientId });
      },
      onLost: (clientId, reason) => {
        this.router.onGap();
        this.report({ type: "socket_lost", clientId, reason });
      },
    });
    return this.#socket;
  }

  /** Does the server give prompts ids of its own, as far as we know? */
  get mintsIds(): boolean {
    return this.#mintsIds;
  }

  /** The server was seen to ignore our prompt id, or to take it: what speaks as Comfy Cloud does may. */
  noteId(isOurs: boolean): void {
    this.#mintsIds = !isOurs;
  }

  /** Asked once per server start. */
  async features(): Promise<ComfyFeatures> {
    this.#features ??= this.#askFeatures();
    const found = await this.#features;
    return this.#mintsIds ? { ...found, promptIds: "minted" } : found;
  }

  lookUp(promptId: string, signal: AbortSignal | undefined): Promise<Found> {
    return lookUp(promptId, { http: this.http, dialect: this.address.dialect, signal });
  }

  lookUpInQueue(promptId: string, asked: Pick<Asked, "signal" | "timeoutMs">): Promise<Found> {
    return lookUpInQueue(promptId, { http: this.http, dialect: this.address.dialect, ...asked });
  }

  /** Can the frames of a prompt that was submitted with this client id reach us now? */
  isHeard(clientId: unknown): boolean {
    const { socket } = this;
    return socket.isHearing && (this.address.dialect === "cloud" || clientId === socket.clientId);
  }

  async close(): Promise<void> {
    await Promise.all([this.http.close(), this.#socket?.close()]);
  }

  /** Does the server take connections, but not answer within a heartbeat? Never rejects. */
  async #isBusy(): Promise<boolean> {
    const call = { method: "GET", path: PATHS.prompt, timeoutMs: this.limits.heartbeatMs } as const;
    return this.http.send(call).then(
      () => false,
      (error: unknown) => isComfyError(error, "busy"),
    );
  }

  async #askFeatures(): Promise<ComfyFeatures> {
    try {
      const found = await detectFeatures(this.http, this.address.dialect);
      this.report({ type: "features_detected", features: found });
      this.#mintsIds ||= found.promptIds === "minted";
      return found;
    } catch (error) {
      this.#features = undefined; // ask again next time
      throw error;
    }
  }
}

/**
 * Every change of the queue sends a `status` to every socket, so a submission that brings none proves the socket deaf:
 * the server has forgotten it (§2.2) or is stuck behind another reader (§2.3). It is replaced.
 */
export function expectStatus({ address, http, router, socket, limits }: Client, statusesBefore: number): void {
  if (!socket.isHearing || address.dialect === "cloud") return; // the cloud's queue is not its own
  const { clientId } = socket;
  sleep(limits.heartbeatMs, http.closed).then(
    () => {
      const isDeaf = router.statusCount === statusesBefore && socket.isHearing && socket.clientId === clientId;
      if (isDeaf) socket.renew("no status frame after a submission");
    },
    () => {}, // closed
  );
}
