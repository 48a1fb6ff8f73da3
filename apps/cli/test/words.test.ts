import { resolve } from "node:path";
import { type Job, type JobEvent, jobFailure, type Output, type Workflow } from "@comfyq/contract";
import { describe, expect, test } from "vitest";
import { age } from "../src/commands/jobs.ts";
import { describeEnd, describeEvent } from "../src/run/describeProgress.ts";
import { exitCodeOf } from "../src/run/exitCodeOf.ts";
import { numberedName, outputFileName, valueFile } from "../src/run/outputFileName.ts";
import { parseParams } from "../src/run/parseParam.ts";
import { parseWorkflow } from "../src/run/readWorkflow.ts";
import { table } from "../src/table.ts";
import { restartDelayMs } from "../src/up/backoff.ts";
import { readChildLine } from "../src/up/childLine.ts";
import { curlLine, keysLine, runLine } from "../src/up/startScreen.ts";
import { job } from "./standIn.ts";

const workflow: Workflow = {
  "3": { class_type: "KSampler", inputs: { seed: 1, steps: 20, cfg: 7.5, model: ["4", 0] } },
  "6": { class_type: "CLIPTextEncode", inputs: { text: "a cat", clip: ["4", 1] } },
};

describe("-p", () => {
  test.each([
    ["6.inputs.text=a fox", "a fox"],
    ["6.inputs.text=42", "42"], // text stays text, whatever it looks like
    ["6-inputs-text=a=b", "a=b"],
    ["6.inputs.text=", ""],
    ["3.inputs.steps=30", 30],
    ["3.inputs.cfg=0.5", 0.5],
    ["3.inputs.seed=random", "random"],
    ["3.inputs.flag=true", true],
    ['3.inputs.model=["5",0]', ["5", 0]],
    ['3.inputs.new="quoted"', "quoted"],
    ["3.inputs.new=C:\\models", "C:\\models"],
  ])("%s means %j", (text, value) => {
    expect(Object.values(parseParams(workflow, [text]))).toEqual([value]);
  });

  test("the last of several for one input wins", () => {
    expect(parseParams(workflow, ["3.inputs.steps=1", "3.inputs.steps=2"])).toEqual({ "3.inputs.steps": 2 });
  });

  test.each(["6.inputs.text", "=x", "3.inputs.seed=18446744073709551615"])("%s is refused", (text) => {
    expect(() => parseParams(workflow, [text])).toThrow(expect.objectContaining({ code: "bad_input", exitCode: 2 }));
  });
});

describe("a workflow file", () => {
  test.each([
    ['{"nodes":[],"links":[]}', "Export (API)"],
    ["{", "not JSON"],
    ["{}", "no nodes"],
    ['{"1":{"inputs":{}}}', "class_type"],
    ["[1]", "API format"],
  ])("%s is refused with %j", (content, words) => {
    expect(() => parseWorkflow(content, "x.json")).toThrow(words);
  });

  test("keys that only the editor knows travel along", () => {
    const node = { class_type: "SaveImage", inputs: {}, _meta: { title: "Save" } };
    expect(parseWorkflow(JSON.stringify({ "1": node }), "x.json")).toEqual({ "1": node });
  });
});

describe("names of saved files", () => {
  test.each([
    ["hello_00001_.png", "hello_00001_.png"],
    ["sub/dir/a.png", "a.png"],
    ["../../etc/passwd", "passwd"],
    ["..\\..\\a.png", "a.png"],
    [".bashrc", "bashrc"],
    ["..", "output"],
    ["", "output"],
    ["a\u0000b\u001b[31m.png", "a_b_[31m.png"],
    ["a\u202egnp.exe", "a_gnp.exe"],
    ["con.png", "_con.png"],
    ["ein Fuchs im Schnee 狐.png", "ein Fuchs im Schnee 狐.png"],
  ])("%j becomes %j", (name, safe) => {
    expect(outputFileName(name)).toBe(safe);
  });

  test("a very long name is cut before its ending, at a whole letter", () => {
    const short = outputFileName(`${"狐".repeat(200)}.png`);
    expect(Buffer.byteLength(short)).toBeLessThanOrEqual(240);
    expect(short).toMatch(/^狐+\.png$/);
  });

  test("a taken name gets a number", () => {
    expect([1, 2, 3].map((count) => numberedName("a.tar.png", count))).toEqual([
      "a.tar.png",
      "a.tar (2).png",
      "a.tar (3).png",
    ]);
    expect(numberedName("README", 2)).toBe("README (2)");
  });

  test("a value becomes text, or JSON", () => {
    const output: Output = { node_id: "7", name: "text", type: "value", value: "a fox" };
    expect(valueFile(output)).toEqual({ name: "7-text.txt", content: "a fox" });
    expect(valueFile({ ...output, value: { a: [1] } })).toEqual({
      name: "7-text.json",
      content: '{\n  "a": [\n    1\n  ]\n}\n',
    });
  });
});

describe("what a human reads", () => {
  test("how a job ended is the exit code", () => {
    const codes = (["succeeded", "failed", "canceled", "expired", "queued"] as const).map(exitCodeOf);
    expect(codes).toEqual([0, 1, 3, 4, 0]);
  });

  test("progress names node and step, and repeats nothing that is not new", () => {
    const at = (step: number): JobEvent => ({
      event: "progress",
      data: {
        attempt: 1,
        value: 0.3,
        nodes_done: 2,
        nodes_total: 7,
        current_node: "3",
        current_node_class: "KSampler",
        step,
        steps: 20,
        message: null,
      },
    });
    expect(describeEvent(at(5))?.text).toBe("node 3/7 KSampler, step 5/20");
    expect(describeEvent(at(4))?.key).toBe(describeEvent(at(5))?.key);
    expect(describeEvent(at(5))?.key).not.toBe(describeEvent(at(6))?.key);
    const preview: JobEvent = { event: "preview", data: { node_id: null, content_type: "image/png", data_base64: "" } };
    expect(describeEvent(preview)).toBeUndefined();
  });

  const stubborn = { node_id: "7", class_type: "SimStubborn" };
  test.each([
    [{ stop_ms: 412, ignored_by: null, escalation: "none" }, "the GPU stopped after 0.4 s"],
    [
      { stop_ms: 41_000, ignored_by: stubborn, escalation: "restart" },
      "node 7 (SimStubborn) ignored the interrupt; ComfyUI was restarted; the GPU stopped after 41.0 s",
    ],
    [
      { stop_ms: null, ignored_by: { node_id: "7", class_type: null }, escalation: "free" },
      "node 7 ignored the interrupt; its memory was freed; the GPU was not seen to stop",
    ],
  ] as const)("how a GPU was stopped: %j", (stop, words) => {
    const { id } = job({});
    expect(describeEnd(job({ status: "canceled", stop }))).toBe(`Job ${id} canceled (${words})`);
    const error = jobFailure("timeout", "it took too long");
    expect(describeEnd(job({ status: "failed", error, stop }))).toBe(
      `Job ${id} failed (timeout: it took too long; ${words})`,
    );
  });

  test("a job's age is told in its largest unit", () => {
    const job: Pick<Job, "created_at"> = { created_at: "2026-11-22T10:00:00.000Z" };
    const after = (seconds: number) => age(job, Date.parse(job.created_at) + seconds * 1_000);
    expect([0, 59, 61, 7_300, 200_000].map(after)).toEqual(["0 s", "59 s", "1 min", "2 h", "2 d"]);
  });

  test("columns stand below each other", () => {
    expect(table(["A", "B"], [["long", "x"]])).toBe("A     B\nlong  x");
  });

  test("the lines of the start screen name the port that is in use, and the key when one is needed", () => {
    expect(curlLine("http://127.0.0.1:9000", false)).toMatch(/^curl -s http:\/\/127\.0\.0\.1:9000\/v1\/jobs [^$]*$/);
    expect(curlLine("http://127.0.0.1:9000", true)).toContain('"Authorization: Bearer $COMFYQ_API_KEY"');
    expect(runLine("http://127.0.0.1:9000")).toMatch(
      /^COMFYQ_URL=http:\/\/127\.0\.0\.1:9000 npm run -s comfyq -- run /,
    );
    expect(runLine("http://127.0.0.1:8190")).toMatch(/^npm run -s comfyq -- run /);
  });

  test("a key is made where the API looks for it, also when its data lies elsewhere", () => {
    expect(keysLine(resolve("data/keys.json"))).toBe("npm run -s comfyq -- keys create --name me");
    expect(keysLine("/srv/my comfyq/keys.json")).toMatch(/^COMFYQ_KEYS_FILE='\/srv\/my comfyq\/keys.json' npm run /);
  });
});

describe("lines of our processes", () => {
  test.each([
    ['{"ready":"api","url":"http://127.0.0.1:1"}', "stdout", { kind: "ready", facts: { ready: "api" } }],
    ['{"url":"http://127.0.0.1:1"}', "stdout", { kind: "ready", facts: { url: "http://127.0.0.1:1" } }],
    ['{"level":"info","url":"x","msg":"got"}', "stderr", { kind: "log", isWarning: false, text: "info got url=x" }],
    [
      '{"level":"error","time":"t","name":"api","pid":1,"jobId":"j","err":{"message":"away","stack":"at x"},"msg":"redis"}',
      "stderr",
      { kind: "log", isWarning: true, text: "error redis jobId=j (away)" },
    ],
    ["TypeError: x", "stderr", { kind: "log", isWarning: true, text: "TypeError: x" }],
    ["# Server initialized", "stdout", { kind: "log", isWarning: false }],
    ["{broken", "stdout", { kind: "log", text: "{broken" }],
  ] as const)("%s on %s is understood", (line, stream, meaning) => {
    expect(readChildLine(line, stream)).toMatchObject(meaning);
  });

  test("a dead process is started again after 0.5 s, then ever later, but within 10 s", () => {
    expect([1, 2, 3, 4, 5, 6, 50].map(restartDelayMs)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
  });
});
