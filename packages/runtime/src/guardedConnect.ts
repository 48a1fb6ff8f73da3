import type { LookupFunction } from "node:net";
import { isIPv6 } from "node:net";
import { buildConnector } from "undici";
import { type AddressRules, type Refusal, type Target, targetOf } from "./addressRules.ts";
import { parseIp } from "./ipAddress.ts";
import { SafeFetchError } from "./safeFetchError.ts";

/** All addresses of a host name; rejects or returns none when there is none. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** What a guarded connection needs to know. */
export interface GuardOptions {
  readonly url: URL;
  readonly rules: AddressRules;
  readonly resolve: Resolve;
  /** Longest wait for the connection, TLS included. */
  readonly timeoutMs: number;
}

/**
 * A connector for undici that asks for the host's addresses once, refuses when any of them is refused, connects to one
 * of those and to nothing else, and looks again at what the socket is really connected to. There is no second
 * resolution between check and use that a hostile DNS server could answer differently.
 */
export function guardedConnect({ url, rules, resolve, timeoutMs }: GuardOptions): buildConnector.connector {
  const target = targetOf(url);
  return (options, callback) => {
    const connect = (addresses: readonly string[]): void =>
      buildConnector({ allowH2: false, timeout: timeoutMs, autoSelectFamily: true, lookup: pinned(addresses) })(
        options,
        (error, socket) => {
          if (!socket) return callback(error ?? new Error("no socket"), null);
          const refusal = rules.refuseAddress(socket.remoteAddress ?? "", target);
          if (!refusal) return callback(null, socket);
          socket.destroy();
          callback(addressRefused(refusal, target), null);
        },
      );
    checkedAddresses(target, rules, resolve).then(connect, (error: Error) => callback(error, null));
  };
}

async function checkedAddresses(target: Target, rules: AddressRules, resolve: Resolve): Promise<readonly string[]> {
  const addresses = parseIp(target.host) ? [target.host] : await resolve(target.host);
  if (addresses.length === 0) throw new SafeFetchError("unreachable", `${target.host} has no address; check the name`);
  for (const address of addresses) {
    const refusal = rules.refuseAddress(address, target);
    if (refusal) throw addressRefused(refusal, target);
  }
  return addresses;
}

/** A `lookup` for node:net that knows nothing but the checked addresses. */
function pinned(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_host, options, callback) => {
    const [first] = all;
    if (options.all || !first) callback(null, all);
    else callback(null, first.address, first.family);
  };
}

/** The refusal as an error, with the setting that would lift it. */
export function addressRefused({ code, why }: Refusal, { host, port }: Target): SafeFetchError {
  const open = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const hint = code === "address_refused" ? `; if it is meant, an operator can add ${open} to COMFYQ_ALLOW_HOSTS` : "";
  return new SafeFetchError(code, `${host || "The URL"} ${why}${hint}`);
}
