/** One triangle as binary glTF 2.0. */
export function encodeGlb(title: string): Buffer {
  const corners = Buffer.alloc(36);
  [0, 0, 0, 1, 0, 0, 0, 1, 0].forEach((value, at) => {
    corners.writeFloatLE(value, at * 4);
  });
  const scene = {
    asset: { version: "2.0", generator: "comfyq" },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0, name: title }],
    meshes: [{ primitives: [{ attributes: { POSITION: 0 } }] }],
    accessors: [{ bufferView: 0, componentType: 5126, count: 3, type: "VEC3", min: [0, 0, 0], max: [1, 1, 0] }],
    bufferViews: [{ buffer: 0, byteOffset: 0, byteLength: corners.length }],
    buffers: [{ byteLength: corners.length }],
  };
  const json = Buffer.from(JSON.stringify(scene));
  const padded = Buffer.concat([json, Buffer.alloc((4 - (json.length % 4)) % 4, " ")]);
  const body = Buffer.concat([part("JSON", padded), part("BIN\0", corners)]);
  return Buffer.concat([Buffer.from("glTF"), uint32(2, body.length + 12), body]);
}

const part = (type: string, content: Buffer): Buffer =>
  Buffer.concat([uint32(content.length), Buffer.from(type, "latin1"), content]);

function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, at) => {
    bytes.writeUInt32LE(value, at * 4);
  });
  return bytes;
}
