import { type IpNet, parseNet } from "./ipAddress.ts";

/** One host, or net of hosts, that an operator opened. */
export type AllowRule = {
  /** Undefined: the ports that are open anyway. */
  readonly port: number | "any" | undefined;
} & ({ readonly kind: "name"; readonly name: string } | { readonly kind: "net"; readonly net: IpNet });

/**
 * Reads the entries of COMFYQ_ALLOW_HOSTS. Each opens one host although it is private: `minio`, `minio:9000`, `minio:*`,
 * `10.1.2.3`, `10.0.0.0/8:9000`, `fd00::/8`, `[fd00::5]:9000`. Without a port only the usual ones are open (80, 443).
 * @throws Error naming every entry that cannot be read
 */
export function parseAllowHosts(entries: readonly string[]): readonly AllowRule[] {
  const rules = entries.map(parseEntry);
  const unreadable = entries.filter((_, at) => rules[at] === undefined);
  if (unreadable.length > 0) {
    throw new Error(
      `COMFYQ_ALLOW_HOSTS holds ${unreadable.map((entry) => JSON.stringify(entry)).join(", ")}; ` +
        "write host, host:port, host:*, an IP or a CIDR, and an IPv6 with a port in brackets",
    );
  }
  return rules.filter((rule) => rule !== undefined);
}

function parseEntry(entry: string): AllowRule | undefined {
  const text = entry.trim().toLowerCase();
  const bare = parseNet(text); // first, for the colons of IPv6 are no port
  if (bare) return { kind: "net", net: bare, port: undefined };
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}|\*))?$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? "";
  const port = portText === "*" ? "any" : portText === undefined ? undefined : Number(portText);
  if (typeof port === "number" && (port < 1 || port > 65_535)) return undefined;
  const net = parseNet(host);
  if (net) return { kind: "net", net, port };
  const isName = !bracketed && /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/.test(host) && !/^[\d.]+$/.test(host);
  return isName ? { kind: "name", name: host, port } : undefined;
}
