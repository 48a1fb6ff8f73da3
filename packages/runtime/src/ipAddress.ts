import ipaddr from "ipaddr.js";

/** A parsed address; IPv4 hidden in IPv6 is already unwrapped. */
export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/** A CIDR: the address and how many of its bits count. */
export type IpNet = readonly [IpAddress, number];

/**
 * Reads an address as the network will understand it: `::ffff:10.0.0.1` (mapped) and `64:ff9b::10.0.0.1` (NAT64) are the
 * IPv4 address they carry; a zone (`%eth0`) is dropped.
 * @returns undefined when it is none
 */
export function parseIp(text: string): IpAddress | undefined {
  const [address = ""] = text.split("%", 1);
  // ipaddr.js alone would also read "10" or "0x7f.1", which are host names to whoever wrote them in a list.
  if (!ipaddr.IPv4.isValidFourPartDecimal(address) && !ipaddr.IPv6.isValid(address)) return undefined;
  return unwrap(ipaddr.parse(address));
}

function unwrap(address: IpAddress): IpAddress {
  if (address.kind() === "ipv4") return address;
  const bytes = address.toByteArray();
  const carriesIpv4 = MAPPED.every((byte, at) => bytes[at] === byte) || NAT64.every((byte, at) => bytes[at] === byte);
  return carriesIpv4 ? new ipaddr.IPv4(bytes.slice(12)) : address;
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]; // ::ffff:0:0/96, RFC 4291 §2.5.5.2
const NAT64 = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]; // 64:ff9b::/96, RFC 6052 §2.1

/**
 * Whether it is somebody's address on the public internet. Everything else is not: private, loopback, link-local, shared,
 * documentation, multicast; and the tunnels that carry an IPv4 address nobody checked (6to4, Teredo, IPv4-compatible,
 * IPv4-translated, ISATAP, local NAT64), which no public host needs.
 */
export function isPublicIp(address: IpAddress): boolean {
  if (address.range() !== "unicast") return false;
  if (address.kind() === "ipv4") return true;
  const bytes = address.toByteArray();
  const [first = 0] = bytes;
  // ipaddr.js calls all the rest of IPv6 "unicast", also ::7f00:1; given out so far is 2000::/3 only (RFC 4291 §2.4).
  const isGlobal = first >> 5 === 0b001;
  return isGlobal && !isIsatap(bytes);
}

/** RFC 5214 §6.1: the interface id is 00-00-5e-fe or 02-00-5e-fe and the IPv4 address. */
function isIsatap(bytes: readonly number[]): boolean {
  return (bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;
}

/** Whether an operator who opened a host by its name may have meant this address: not metadata services, not broadcast. */
export function isHostIp(address: IpAddress): boolean {
  return isPublicIp(address) || ["private", "loopback", "carrierGradeNat", "uniqueLocal"].includes(address.range());
}

/** Whether the address is inside the net; never when one is IPv4 and the other IPv6. */
export function isInNet(address: IpAddress, [net, bits]: IpNet): boolean {
  return address.kind() === net.kind() && address.match(net, bits);
}

/** Reads `10.0.0.0/8`, or an address alone as a net of one. @returns undefined when it is neither */
export function parseNet(text: string): IpNet | undefined {
  const alone = parseIp(text);
  if (alone) return [alone, alone.kind() === "ipv4" ? 32 : 128];
  return ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : undefined;
}
