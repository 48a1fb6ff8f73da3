/** One ISO base media box: size, type, content (ISO/IEC 14496-12, section 4.2). */
export function box(type: string, ...parts: readonly (Buffer | readonly number[])[]): Buffer {
  const content = Buffer.concat(parts.map((part) => (Buffer.isBuffer(part) ? part : Buffer.from(part))));
  return Buffer.concat([uint32(content.length + 8), Buffer.from(type, "latin1"), content]);
}

/** A box that starts with a version of 0 and 24 bits of flags. */
export function fullBox(type: string, flags: number, ...parts: readonly (Buffer | readonly number[])[]): Buffer {
  return box(type, uint32(flags), ...parts);
}

/** Big-endian, any number of them. */
export function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, at) => {
    bytes.writeUInt32BE(value >>> 0, at * 4);
  });
  return bytes;
}

/** Big-endian, any number of them. */
export function uint16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, at) => {
    bytes.writeUInt16BE(value & 0xffff, at * 2);
  });
  return bytes;
}
