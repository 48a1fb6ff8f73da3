import { type Address, parseAddress } from "./address.ts";
import { sleep } from "./clock.ts";
import type { ComfyEvent, ComfyFeatures, ConnectOptions, Found } from "./face.ts";
import { detectFeatures } from "./features.ts";
import { createFrameRouter, type FrameRouter } from "./frames.ts";
import { createHttp, type Http } from "./http.ts";
import { lookUp, lookUpInQueue } from "./lookUp.ts";
import { type FrameSocket, openSocket } from "./socket.ts";

/** In ms; see `ConnectOptions`. */
const DEFAULTS = {
  requestTimeoutMs: 30_000,
  submitTimeoutMs: 60_000,
  pollMs: 1_000,
  unreachableMs: 60_000,
  heartbeatMs: 5_000,
};

/** Everything that one connection to a server holds. Nothing is opened until it is needed. */
export interface Client {
  readonly address: Address;
  readonly http: Http;
  readonly router: FrameRouter;
  readonly limits: typeof DEFAULTS;
  readonly report: (event: ComfyEvent) => void;
  /** The one socket; the first call opens it. */
  readonly socket: () => FrameSocket;
  /** Asked once per server start; see also `noteMintedId`. */
  readonly features: () => Promise<ComfyFeatures>;
  readonly lookUp: (promptId: string, signal: AbortSignal | undefined) => Promise<Found>;
  readonly lookUpInQueue: (promptId: string, signal: AbortSignal | undefined) => Promise<Found>;
  /** The server was seen to ignore our prompt id. */
  readonly noteMintedId: () => void;
  readonly mintsIds: () => boolean;
  readonly close: () => Promise<void>;
}

export function createClient(options: ConnectOptions): Client {
  const limits = { ...DEFAULTS, ...options };
  const address = parseAddress(options);
  const isCloud = address.dialect === "cloud";
  const http = createHttp(address, limits.requestTimeoutMs);
  const router = createFrameRouter(isCloud);
  const report = options.onEvent ?? (() => {});
  let socket: FrameSocket | undefined;
  let features: Promise<ComfyFeatures> | undefined;
  let mintsIds = isCloud;

  function onOpen(clientId: string): void {
    features = undefined; // after a gap it may be another server
    router.onGap();
    report({ type: "socket_open", clientId });
  }

  function onLost(clientId: string, reason: string): void {
    router.onGap();
    report({ type: "socket_lost", clientId, reason });
  }

  async function askFeatures(): Promise<ComfyFeatures> {
    try {
      const found = await detectFeatures(http, address.dialect);
      report({ type: "features_detected", features: found });
      mintsIds ||= found.promptIds === "minted";
      return found;
    } catch (error) {
      features = undefined; // ask again next time
      throw error;
    }
  }

  return {
    address,
    http,
    router,
    limits,
    report,
    socket() {
      http.closed.throwIfAborted(); // nobody would close a socket opened now
      const { clientId } = options;
      const handlers = { onText: router.onText, onBinary: router.onBinary, onOpen, onLost };
      socket ??= openSocket({ address, clientId, heartbeatMs: limits.heartbeatMs, ...handlers });
      return socket;
    },
    async features() {
      features ??= askFeatures();
      const found = await features;
      return mintsIds ? { ...found, promptIds: "minted" } : found;
    },
    lookUp: (promptId, signal) => lookUp(promptId, { http, dialect: address.dialect, signal }),
    lookUpInQueue: (promptId, signal) => lookUpInQueue(promptId, { http, dialect: address.dialect, signal }),
    noteMintedId() {
      mintsIds = true;
    },
    mintsIds: () => mintsIds,
    async close() {
      await Promise.all([http.close(), socket?.close()]);
    },
  };
}

/**
 * Every change of the queue sends a `status` to every socket, so a submission that brings none proves the socket deaf:
 * the server has forgotten it (§2.2) or is stuck behind another reader (§2.3). It is replaced.
 */
export function expectStatus({ address, http, router, socket, limits }: Client, statusesBefore: number): void {
  const heard = socket();
  if (!heard.isHearing || address.dialect === "cloud") return; // the cloud's queue is not its own
  const { clientId } = heard;
  sleep(limits.heartbeatMs, http.closed).then(
    () => {
      const isDeaf = router.statusCount === statusesBefore && heard.isHearing && heard.clientId === clientId;
      if (isDeaf) heard.renew("no status frame after a submission");
    },
    () => {}, // closed
  );
}
