const PNG_SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");
const TEXTS = ["tEXt", "zTXt", "iTXt"];

/** The chunks of a PNG file that hold texts, whole; none of any other file. */
export function pngTexts(file: Buffer): readonly Buffer[] {
  const texts: Buffer[] = [];
  if (!file.subarray(0, 8).equals(PNG_SIGNATURE)) return texts;
  for (let at = 8; at + 12 <= file.length; ) {
    const end = at + 12 + file.readUInt32BE(at);
    if (TEXTS.includes(file.toString("latin1", at + 4, at + 8)) && end <= file.length)
      texts.push(file.subarray(at, end));
    at = end;
  }
  return texts;
}
