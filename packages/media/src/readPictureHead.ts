/** What a still picture says of itself, before anybody decodes it. */
export interface PictureHead {
  readonly width: number;
  readonly height: number;
  readonly isAnimated: boolean;
  readonly mayBeTransparent: boolean;
  /** Of one sample of a pixel. */
  readonly sampleBytes: 1 | 2;
}

/** Of a PNG, JPEG or WebP file; undefined when it is none. */
export function readPictureHead(bytes: Buffer): PictureHead | undefined {
  try {
    if (bytes.toString("latin1", 1, 4) === "PNG") return readPng(bytes);
    if (bytes.toString("latin1", 8, 12) === "WEBP") return readWebp(bytes);
    if (bytes.readUInt16BE(0) === 0xffd8) return readJpeg(bytes);
  } catch {
    // it ends before its head does
  }
  return undefined;
}

function readPng(bytes: Buffer): PictureHead {
  const colorType = bytes.readUInt8(25);
  const before = bytes.subarray(0, bytes.indexOf("IDAT"));
  return {
    width: bytes.readUInt32BE(16),
    height: bytes.readUInt32BE(20),
    isAnimated: before.includes("acTL"),
    mayBeTransparent: colorType === 4 || colorType === 6 || before.includes("tRNS"),
    sampleBytes: bytes.readUInt8(24) === 16 ? 2 : 1,
  };
}

/** Source: RFC 9649, §2.5 to §2.7. */
function readWebp(bytes: Buffer): PictureHead | undefined {
  const type = bytes.toString("latin1", 12, 16);
  if (type === "VP8X") {
    const flags = bytes.readUInt8(20);
    const [width, height] = [bytes.readUIntLE(24, 3) + 1, bytes.readUIntLE(27, 3) + 1];
    return { width, height, isAnimated: (flags & 0x02) !== 0, mayBeTransparent: (flags & 0x10) !== 0, sampleBytes: 1 };
  }
  if (type === "VP8L") {
    const bits = bytes.readUInt32LE(21);
    const [width, height] = [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1];
    return { width, height, isAnimated: false, mayBeTransparent: true, sampleBytes: 1 };
  }
  if (type !== "VP8 ") return undefined;
  const [width, height] = [bytes.readUInt16LE(26) & 0x3fff, bytes.readUInt16LE(28) & 0x3fff];
  return { width, height, isAnimated: false, mayBeTransparent: false, sampleBytes: 1 };
}

/** The first start-of-frame segment has the size. */
function readJpeg(bytes: Buffer): PictureHead | undefined {
  for (let at = 2; at + 9 <= bytes.length; at += 2 + bytes.readUInt16BE(at + 2)) {
    const marker = bytes.readUInt8(at + 1);
    if (bytes.readUInt8(at) !== 0xff) return undefined;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (!isFrame) continue;
    const [height, width] = [bytes.readUInt16BE(at + 5), bytes.readUInt16BE(at + 7)];
    return { width, height, isAnimated: false, mayBeTransparent: false, sampleBytes: 1 };
  }
  return undefined;
}
