const PAYLOAD_BYTES = 10_000;

/** A graph of about 10 KB as JSON, with links between its nodes. */
export function tenKilobytes(): { readonly workflow: Readonly<Record<string, unknown>> } {
  const workflow: Record<string, unknown> = {
    "1": { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 0 } },
  };
  for (let at = 2; JSON.stringify(workflow).length < PAYLOAD_BYTES; at += 1) {
    const text = `node ${at} of a graph that somebody drew, `.repeat(3);
    workflow[at] = { class_type: "SimSleep", inputs: { ms: 0, steps: 0, input: [String(at - 1), 0], value: text } };
  }
  workflow["last"] = { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "bench" } };
  return { workflow };
}
