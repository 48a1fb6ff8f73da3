import { describe, expect, test } from "vitest";
import { RECORDINGS, type RecordedFrame, recreate } from "../src/recordings/index.ts";
import {
  type BinaryFrame,
  comboOptions,
  decodeBinaryFrame,
  encodeBinaryFrame,
  HistoryAnswer,
  Job,
  ObjectInfo,
  PromptAccepted,
  PromptRefused,
  PromptRequest,
  parseJson,
  parseTextFrame,
  QueueAnswer,
  Workflow,
} from "../src/wire/index.ts";

const same = (text: string) => text;

describe.each(RECORDINGS)("the wire reads the recording of $version without loss", ({ scenarios, connect }) => {
  function expectFrame(frame: RecordedFrame): void {
    const sent = recreate(frame, same);
    if (typeof sent === "string") expect(parseTextFrame(sent)).toEqual(frame);
    else expect(Buffer.from(encodeBinaryFrame(decodeBinaryFrame(sent))).equals(sent)).toBe(true);
    if (typeof sent !== "string") expect(decodeBinaryFrame(sent).kind).not.toBe("unknown");
  }

  test("the frames of a new connection", () => {
    expect(connect.client).toHaveLength(2);
    for (const frame of [...connect.client, ...connect.other]) expectFrame(frame);
  });

  test("there are all 27 scenarios", () => {
    expect(scenarios).toHaveLength(27);
  });

  test.each(scenarios)("every frame and body of $name", (scenario) => {
    expect(PromptRequest.parse(scenario.request)).toEqual(scenario.request);
    expect(Workflow.parse(scenario.request.prompt)).toEqual(scenario.request.prompt);
    const Answer = scenario.response_status === 200 ? PromptAccepted : PromptRefused;
    expect(Answer.parse(scenario.response)).toEqual(scenario.response);
    if (scenario.history) expect(HistoryAnswer.parse(scenario.history)).toEqual(scenario.history);
    if (scenario.job) expect(Job.parse(scenario.job)).toEqual(scenario.job);
    for (const frame of [...scenario.client_frames, ...scenario.other_client_frames]) expectFrame(frame);
  });
});

describe("text frames", () => {
  test("a frame of a custom node comes back whole as unknown", () => {
    const frame = { type: "my-node.feedback", data: { prompt_id: "p", widget: 3 } };
    expect(parseTextFrame(JSON.stringify(frame))).toEqual({ type: "unknown", received: frame });
  });

  test("a known type with a strange body is unknown, not an error", () => {
    expect(parseTextFrame('{"type":"executing","data":7}').type).toBe("unknown");
  });

  test("text that is not JSON is unknown, not an error", () => {
    expect(parseTextFrame("nonsense")).toEqual({ type: "unknown", received: "nonsense" });
  });

  test("keys that a newer server adds are kept", () => {
    const frame = { type: "execution_start", data: { prompt_id: "p", timestamp: 1, gpu: "0" }, seq: 4 };
    expect(parseTextFrame(JSON.stringify(frame))).toEqual(frame);
  });
});

describe("binary frames", () => {
  const image = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 1, 2]);
  const metadata = { node_id: "2", prompt_id: "p", display_node_id: "2", image_type: "image/jpeg" };
  const frames: BinaryFrame[] = [
    { kind: "preview", contentType: "image/png", image },
    { kind: "text", nodeId: "knoten-ä", text: "16×16" },
    { kind: "preview_with_metadata", metadata, image },
  ];

  test.each(frames)("$kind survives encoding and decoding", (frame) => {
    expect(decodeBinaryFrame(encodeBinaryFrame(frame))).toEqual(frame);
  });

  test("the layout is ComfyUI's: big-endian type, then length or format, then the content", () => {
    expect(Buffer.from(encodeBinaryFrame({ kind: "text", nodeId: "7", text: "ok" })).toString("hex")).toBe(
      "0000000300000001376f6b",
    );
    expect(Buffer.from(encodeBinaryFrame({ kind: "preview", contentType: "image/jpeg", image })).toString("hex")).toBe(
      "0000000100000001ffd8ffe00102",
    );
  });

  test.each([
    ["too short", "000000"],
    ["an unknown type", "0000000900000001ff"],
    ["a length beyond its end", "00000003000000ff41"],
    ["metadata that is no JSON", "00000004000000027b7b"],
  ])("%s comes back whole as unknown", (_, hex) => {
    const bytes = Buffer.from(hex, "hex");
    expect(decodeBinaryFrame(bytes)).toEqual({ kind: "unknown", received: bytes });
  });
});

describe("bodies as Python writes them", () => {
  test("NaN and Infinity are read, and left alone inside strings", () => {
    const text = '{"a": NaN, "b": "NaN \\" Infinity", "c": -Infinity, "d": [Infinity]}';
    expect(parseJson(text)).toEqual({
      a: null,
      b: 'NaN " Infinity',
      c: Number.NEGATIVE_INFINITY,
      d: [Number.POSITIVE_INFINITY],
    });
  });

  test("what is no JSON even so is an error", () => {
    expect(() => parseJson("{NaN")).toThrow(SyntaxError);
    expect(() => parseJson("500 Internal Server Error")).toThrow(SyntaxError);
  });

  test("both styles of combo give their options, other inputs none", () => {
    expect(comboOptions([["a", "b"], { default: "a" }])).toEqual(["a", "b"]);
    expect(comboOptions(["COMBO", { options: ["a"] }])).toEqual(["a"]);
    expect(comboOptions(["INT", { min: 0 }])).toBeUndefined();
    expect(comboOptions(["COMBO", { remote: {} }])).toBeUndefined();
  });

  test("a class with strange inputs does not hide the others", () => {
    const info = {
      A: { input: { required: { x: "odd", y: [["a"]] } }, name: "A" },
      B: { name: "B", output_node: true },
    };
    expect(ObjectInfo.parse(info)).toEqual(info);
  });

  test("queue items of both dialects are read", () => {
    const local = [3, "id", {}, { client_id: "c" }, ["2"]];
    const cloud = [1, "id", {}, ["2"], { create_time: 5 }];
    const older = [3, "id", {}, {}, ["2"], { api_key_comfy_org: "k" }];
    const answer = { queue_running: [local], queue_pending: [cloud, older] };
    expect(QueueAnswer.parse(answer)).toEqual(answer);
  });
});
