import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { nowMs } from "./clock.ts";
import type { Dialect } from "./dialect.ts";
import { FaultBoard, type Faults } from "./faults.ts";
import { type Bandwidth, Link } from "./link.ts";
import { type Stand, serve } from "./serve.ts";
import { Counters, type FakeS3Stats } from "./stats.ts";
import { addBucket, openWorld } from "./world.ts";

export interface FakeS3Options {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** Default 0: any free one. */
  readonly port?: number | undefined;
  /** Made when they are missing. */
  readonly buckets: readonly string[];
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Folder that keeps the objects beyond this process; in memory when left out. */
  readonly dir?: string | undefined;
  /** Without `dir`: blobs larger than this are checked and counted, but read as zeros. Default: all are kept. */
  readonly forgetAboveBytes?: number | undefined;
  /** Whose S3 it behaves like; default `aws`. */
  readonly dialect?: Dialect | undefined;
  /** Smallest size of every part but the last; default 5 MiB, as in S3. */
  readonly smallestPartBytes?: number | undefined;
  /** Longest page of a listing; default 1000, as in S3. */
  readonly mostKeysPerPage?: number | undefined;
  /** The server's wall clock, for signatures and dates. */
  readonly nowMs?: (() => number) | undefined;
}

export interface FakeS3 extends AsyncDisposable {
  /** `http://host:port`, for `endpoint` of any S3 client. Path style and `bucket.localhost` both work. */
  readonly url: string;
  readonly port: number;
  readonly faults: Faults;
  /** Replaces both limits of the shared line; a limit left out is lifted. */
  setBandwidth(bandwidth: Bandwidth): void;
  stats(): FakeS3Stats;
  /** Stops listening and cuts every connection. Safe to repeat. */
  close(): Promise<void>;
}

const SMALLEST_PART_BYTES = 5 * 1024 * 1024;
const MOST_KEYS_PER_PAGE = 1000;
const KEEP_ALIVE_MS = 60_000;

/**
 * Starts a small S3 that checks what S3 checks: signatures, expiry, lengths, checksums, conditions, part sizes.
 * @throws FakeS3Error `InvalidBucketName`; Node's own error when the port is taken or `dir` cannot be written
 */
export async function startFakeS3(options: FakeS3Options): Promise<FakeS3> {
  const clock = options.nowMs ?? nowMs;
  const world = await openWorld(
    { dir: options.dir, forgetAboveBytes: options.forgetAboveBytes },
    {
      dialect: options.dialect ?? "aws",
      smallestPartBytes: options.smallestPartBytes ?? SMALLEST_PART_BYTES,
      mostKeysPerPage: options.mostKeysPerPage ?? MOST_KEYS_PER_PAGE,
      nowMs: clock,
    },
  );
  for (const bucket of options.buckets) await addBucket(world, bucket);
  const { accessKeyId, secretAccessKey } = options;
  const faults = new FaultBoard(clock);
  const link = new Link();
  const counters = new Counters();
  const stand = { world, credentials: { accessKeyId, secretAccessKey }, faults, link, counters };
  const host = options.host ?? "127.0.0.1";
  const server = await listen(stand, host, options.port ?? 0);
  const { port } = addressOf(server);
  const close = () => closeServer(server);
  return {
    url: `http://${host}:${port}`,
    port,
    faults,
    setBandwidth: (bandwidth) => link.set(bandwidth),
    stats: () => counters.snapshot(world),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function listen(stand: Stand, host: string, port: number): Promise<Server> {
  const server = createServer((request, response) => void serve(stand, request, response));
  // without this listener Node would tell every client to send its body before we have looked at the request
  server.on("checkContinue", (request, response) => void serve(stand, request, response));
  server.on("connection", (socket) => {
    stand.counters.openConnections += 1;
    socket.once("close", () => {
      stand.counters.openConnections -= 1;
    });
  });
  // a body may stall for as long as a fault says
  server.requestTimeout = 0;
  // Node's five seconds would close connections just when a client uses them again
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve(server));
  });
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("the server does not listen on a TCP port");
  return address;
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
