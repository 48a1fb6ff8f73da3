import type { RedisAddress } from "./redisPing.ts";

/** Where a private Redis keeps its things. For one in a container, as the container sees them. */
export interface RedisPlaces {
  readonly folder: string;
  /** What it listens on inside: a container has a port of its own and must listen on all its addresses. */
  readonly listen: "loopback" | "everywhere";
}

/**
 * The configuration of a private Redis: it keeps every acknowledged job (AOF, no eviction; design/architecture.md §5) and
 * talks to nobody but us. A file and not flags, because any user of the machine can list flags, and one is a password.
 */
export function redisConf(address: RedisAddress, { folder, listen }: RedisPlaces): string {
  const door =
    address.kind === "socket"
      ? ["port 0", `unixsocket ${quoted(address.path)}`, "unixsocketperm 700"]
      : [
          `port ${address.port}`,
          `bind ${listen === "loopback" ? "127.0.0.1" : "*"}`,
          `requirepass ${address.password}`,
        ];
  const lines = [
    "# Written anew at every start by comfyq.",
    ...door,
    `dir ${quoted(folder)}`,
    `pidfile ${quoted(`${folder}/redis.pid`)}`,
    "appendonly yes",
    "appendfsync everysec",
    "maxmemory-policy noeviction",
    'save ""',
    "daemonize no",
    'logfile ""',
  ];
  return `${lines.join("\n")}\n`;
}

/** As redis.conf wants it (sds.c: double quotes, backslash escapes). */
function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
