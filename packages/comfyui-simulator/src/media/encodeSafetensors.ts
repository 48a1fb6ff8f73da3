/** A safetensors file with one tensor of zeros and string metadata, as SaveLatent writes it (nodes.py). */
export function encodeSafetensors(shape: readonly number[], metadata: Readonly<Record<string, string>>): Buffer {
  const length = shape.reduce((product, side) => product * side, 4); // four bytes for each number
  const header = Buffer.from(
    JSON.stringify({
      __metadata__: metadata,
      latent_tensor: { dtype: "F32", shape, data_offsets: [0, length] },
      latent_format_version_0: { dtype: "F32", shape: [0], data_offsets: [length, length] },
    }),
  );
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header, Buffer.alloc(length)]);
}
