/** Castagnoli's polynomial, reflected (RFC 3720 appendix B.4). */
const POLYNOMIAL = 0x82f63b78;
const TABLE = buildTable();

/**
 * CRC-32C of `bytes`, continuing from `value` (0 to start). Node has no built-in one.
 * @returns an unsigned 32-bit number
 */
export function crc32c(bytes: Uint8Array, value = 0): number {
  let crc = ~value;
  for (const byte of bytes) crc = (TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

function buildTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? POLYNOMIAL ^ (value >>> 1) : value >>> 1;
    return value;
  });
}
