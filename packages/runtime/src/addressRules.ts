import { type AllowRule, parseAllowHosts } from "./allowHosts.ts";
import { type IpAddress, isHostIp, isInNet, isPublicIp, parseIp } from "./ipAddress.ts";

/** Where a safe fetch may go; pure, so that every form of attack can be tried without a network. */
export interface AddressRules {
  /**
   * Judges what the URL itself says: scheme, userinfo, port, literal address.
   * @returns undefined when it may be tried
   */
  refuseUrl(url: URL): Refusal | undefined;
  /** Judges one address that the target's host resolved to, or that a socket for it is connected to. */
  refuseAddress(address: string, target: Target): Refusal | undefined;
}

/** What a connection is made to. */
export interface Target {
  /** Without brackets and without a dot at the end. */
  readonly host: string;
  readonly port: number;
}

/** The target of an http or https URL. */
export function targetOf(url: URL): Target {
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.+$/, ""),
    port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port),
  };
}

/** Why not. */
export interface Refusal {
  readonly code: "bad_url" | "address_refused";
  /** Continues a sentence that begins with the host. Names no address the customer did not write. */
  readonly why: string;
}

/** What the rules are made of. */
export interface AddressRulesOptions {
  /** Hosts that the operator opened, see `parseAllowHosts`. */
  readonly allowHosts: readonly string[];
  /** With the colon, as `new URL` has them. Default `http:` and `https:`. */
  readonly schemes?: readonly string[];
  /** Ports that are open on every host that may be asked at all. Default 80 and 443. */
  readonly ports?: readonly number[];
}

/** @throws Error when an entry of allowHosts cannot be read */
export function createAddressRules({
  allowHosts,
  schemes = ["http:", "https:"],
  ports = [80, 443],
}: AddressRulesOptions): AddressRules {
  const rules = parseAllowHosts(allowHosts);
  const opensPort = (rule: AllowRule, port: number): boolean =>
    rule.port === "any" || (rule.port === undefined ? ports.includes(port) : rule.port === port);
  const isOpenName = ({ host, port }: Target): boolean =>
    rules.some((rule) => rule.kind === "name" && rule.name === host && opensPort(rule, port));
  const isOpenNet = (address: IpAddress, port: number): boolean =>
    rules.some((rule) => rule.kind === "net" && isInNet(address, rule.net) && opensPort(rule, port));

  const refuseAddress: AddressRules["refuseAddress"] = (text, target) => {
    const address = parseIp(text);
    if (!address) return refused("resolves to something that is no address");
    if (isOpenNet(address, target.port)) return undefined;
    // A name in the list opens what it resolves to, but not the metadata service of a cloud.
    if (isOpenName(target)) return isHostIp(address) ? undefined : refused("resolves to an address that no host has");
    if (!ports.includes(target.port)) return portRefused(target);
    return isPublicIp(address) ? undefined : refused("is not on the public internet");
  };
  return {
    refuseAddress,
    refuseUrl(url) {
      if (!schemes.includes(url.protocol))
        return badUrl(`has the scheme "${url.protocol}", not ${schemes.join(" or ")}`);
      if (url.username || url.password) return badUrl("has a user name or a password in its URL; send headers instead");
      const target = targetOf(url);
      if (parseIp(target.host)) return refuseAddress(target.host, target);
      // A name may still resolve into an open net, so only a port that is open nowhere can be refused before asking.
      const isOpen = ports.includes(target.port) || rules.some((rule) => opensPort(rule, target.port));
      return isOpen ? undefined : portRefused(target);
    },
  };
}

const badUrl = (why: string): Refusal => ({ code: "bad_url", why });
const refused = (why: string): Refusal => ({ code: "address_refused", why });
const portRefused = ({ port }: Target): Refusal => refused(`is asked on port ${port}, which is not open`);

/** Did the operator open this very host? By its name, or by its address when that is what the URL says. */
export function opensHost(allowHosts: readonly string[], url: URL): boolean {
  const target = targetOf(url);
  const address = parseIp(target.host);
  return parseAllowHosts(allowHosts).some((rule) => {
    const isPort = rule.port === "any" || (rule.port === undefined ? url.port === "" : rule.port === target.port);
    const isHost = rule.kind === "name" ? rule.name === target.host : address && isInNet(address, rule.net);
    return isPort && Boolean(isHost);
  });
}
