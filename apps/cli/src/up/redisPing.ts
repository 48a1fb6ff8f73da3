import { connect } from "node:net";
import { withDeadline } from "@comfyq/runtime";

/** Where a Redis of ours listens: a unix socket, or a port of this machine with a password. */
export type RedisAddress =
  | { readonly kind: "socket"; readonly path: string }
  | { readonly kind: "port"; readonly port: number; readonly password: string };

/** What a Redis says of itself: `silent` took the connection and gave no answer in time. */
export type RedisState = "ready" | "loading" | "absent" | "silent" | "refused";

/** What the other processes take as REDIS_URL. */
export function redisUrl(address: RedisAddress): string {
  return address.kind === "socket" ? address.path : `redis://default:${address.password}@127.0.0.1:${address.port}`;
}

/**
 * Asks for a sign of life. Never rejects.
 * @param patienceMs how long an answer may take
 */
export async function pingRedis(address: RedisAddress, patienceMs: number): Promise<RedisState> {
  const answer = await tellRedis(address, "PING", patienceMs);
  if (answer === undefined) return "absent";
  if (answer.includes("+PONG")) return "ready";
  if (answer.includes("-LOADING")) return "loading";
  return answer === "" ? "silent" : "refused";
}

/** Asks it to end in good order, AOF written. It answers by hanging up. */
export async function shutDownRedis(address: RedisAddress, patienceMs: number): Promise<void> {
  await tellRedis(address, "SHUTDOWN", patienceMs);
}

/**
 * Sends one inline command (Redis protocol, "inline commands"): too little to need a client library.
 * @returns what came back until the answer was there, the line was cut or time was up; undefined: nobody listens
 */
async function tellRedis(address: RedisAddress, command: string, patienceMs: number): Promise<string | undefined> {
  const socket = address.kind === "socket" ? connect(address.path) : connect(address.port, "127.0.0.1");
  const lines = address.kind === "port" ? [`AUTH ${address.password}`, command] : [command];
  const signal = withDeadline(undefined, patienceMs);
  return new Promise((resolve) => {
    let answer = "";
    let isConnected = false;
    const end = (): void => {
      socket.destroy();
      resolve(isConnected ? answer : undefined);
    };
    signal.addEventListener("abort", end, { once: true });
    socket.setEncoding("utf8");
    socket.on("connect", () => {
      isConnected = true;
      socket.write(lines.map((line) => `${line}\r\n`).join(""));
    });
    socket.on("data", (chunk: string) => {
      answer += chunk;
      if (answer.split("\r\n").length > lines.length) end();
    });
    socket.on("error", end);
    socket.on("close", end);
  });
}
