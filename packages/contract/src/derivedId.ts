import { createHash } from "node:crypto";

/** The namespace of every id that is derived from a name. Frozen: changing it would break resuming old jobs. */
export const COMFYQ_NAMESPACE = "59cbb6bf-de9e-4b98-b79d-953c3965d991";

/**
 * The UUID v5 (RFC 9562 §5.5, SHA-1) of a name: same name and namespace, same id, everywhere and forever.
 * @param namespace a UUID, with hyphens, in either case
 * @throws TypeError when the namespace is not a UUID
 */
export function uuidV5(name: string, namespace: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(namespace)) {
    throw new TypeError(`"${namespace}" is not a UUID; uuidV5 needs one as namespace, such as COMFYQ_NAMESPACE`);
  }
  const bytes = createHash("sha1")
    .update(Buffer.from(namespace.replaceAll("-", ""), "hex"))
    .update(name, "utf8")
    .digest()
    .subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6); // version and variant, RFC 9562 §4
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
