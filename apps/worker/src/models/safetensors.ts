import type { FileHandle } from "node:fs/promises";
import * as z from "zod";

/** The format's own limit, and what keeps a header from filling the memory. Source: safetensors, tensor.rs MAX_HEADER_SIZE. */
const LARGEST_HEADER = 100_000_000;
const LENGTH_BYTES = 8;

/** Bits of one number. Source: safetensors, tensor.rs Dtype. */
const DTYPE_BITS: Readonly<Record<string, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E4M3: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2: 8,
  F8_E5M2FNUZ: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

const Tensor = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
type Tensor = z.infer<typeof Tensor>;

/**
 * What is wrong with a safetensors file, in words that follow its name; undefined when nothing is. The header alone is read:
 * its length, its JSON, and that every tensor lies inside the file, one after another, with nothing between or behind.
 */
export async function safetensorsFault(file: FileHandle, sizeBytes: number): Promise<string | undefined> {
  const length = Buffer.alloc(LENGTH_BYTES);
  const { bytesRead } = await file.read(length, 0, LENGTH_BYTES, 0);
  const fault = lengthFault(length.subarray(0, bytesRead));
  if (fault !== undefined) return fault;
  const headerBytes = Number(length.readBigUInt64LE());
  const dataAt = LENGTH_BYTES + headerBytes;
  if (dataAt > sizeBytes) return `is cut off: its header needs ${dataAt} bytes, and it has ${sizeBytes}`;
  const header = Buffer.alloc(headerBytes);
  await file.read(header, 0, header.length, LENGTH_BYTES);
  return headerFault(header.toString("utf8"), sizeBytes - dataAt);
}

/** What is wrong with the length that a file begins with: nothing else looks so early like what it is not. */
export function lengthFault(beginning: Buffer): string | undefined {
  if (beginning.length < LENGTH_BYTES) return `has ${beginning.length} bytes, too few for a safetensors file`;
  const headerBytes = beginning.readBigUInt64LE();
  if (headerBytes <= LARGEST_HEADER) return undefined;
  return `is no safetensors file: its header would have ${headerBytes} bytes, and ${LARGEST_HEADER} are allowed`;
}

function headerFault(text: string, dataBytes: number): string | undefined {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    return "is no safetensors file: its header is no JSON";
  }
  if (typeof header !== "object" || header === null || Array.isArray(header))
    return "is no safetensors file: its header is no JSON object";
  const tensors: Tensor[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { data: tensor } = Tensor.safeParse(value);
    const fault = tensor ? tensorFault(tensor, dataBytes) : "has no dtype, shape and data_offsets";
    if (fault !== undefined) return `is broken: its tensor ${JSON.stringify(name.slice(0, 80))} ${fault}`;
    if (tensor) tensors.push(tensor);
  }
  return gapFault(tensors, dataBytes);
}

function tensorFault({ dtype, shape, data_offsets: [begin, end] }: Tensor, dataBytes: number): string | undefined {
  const bits = Object.hasOwn(DTYPE_BITS, dtype) ? DTYPE_BITS[dtype] : undefined;
  if (bits === undefined) return `has the unknown dtype ${JSON.stringify(dtype.slice(0, 20))}`;
  if (begin > end || end > dataBytes) return `ends at byte ${end} of ${dataBytes}: the file is cut off`;
  const bytes = (shape.reduce((product, side) => product * side, 1) * bits) / 8;
  return bytes === end - begin ? undefined : `has ${end - begin} bytes where its shape needs ${bytes}`;
}

/** Bytes that belong to no tensor could be anything. */
function gapFault(tensors: readonly Tensor[], dataBytes: number): string | undefined {
  let at = 0;
  for (const { data_offsets } of tensors.toSorted(
    (a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1],
  )) {
    if (data_offsets[0] !== at) return `is broken: its tensors overlap or leave a gap at byte ${at}`;
    at = data_offsets[1];
  }
  return at === dataBytes ? undefined : `has ${dataBytes - at} bytes that belong to no tensor`;
}
