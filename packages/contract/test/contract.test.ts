import { describe, expect, test } from "vitest";
import {
  applyParams,
  attemptPrefix,
  isTerminal,
  isUiFormat,
  JOB_ERRORS,
  JOB_STATUSES,
  JOB_STEPS,
  type JobFacts,
  jobFailure,
  manifestKey,
  NewJob,
  parseDataUri,
  parseParamPath,
  presentJob,
} from "../src/index.ts";

const workflow = { "3": { class_type: "KSampler", inputs: { seed: 1, model: ["4", 0] } } };
const graph = () => NewJob.parse({ workflow }).workflow;

describe("what a customer may send", () => {
  test("only the workflow is needed; the rest has defaults", () => {
    expect(NewJob.parse({ workflow })).toMatchObject({
      pool: "default",
      priority: 0,
      timeout_s: 900,
      max_attempts: 3,
      tags: [],
    });
  });

  test.for(["tenant", "attempts", "state", "prompt_id", "client_id", "number", "front", "timeout"])(
    "%s is refused: it is ours, or a slip of the pen",
    (field) => {
      expect(NewJob.safeParse({ workflow, [field]: "1" }).success).toBe(false);
    },
  );

  test("limits hold: metadata of 4 KB, priorities, inputs from known kinds of address", () => {
    const ok = (body: object) => NewJob.safeParse({ workflow, ...body }).success;
    expect(ok({ metadata: { note: "x".repeat(4_000) } })).toBe(true);
    expect(ok({ metadata: { note: "x".repeat(4_100) } })).toBe(false);
    expect(ok({ priority: 1_000_001 })).toBe(false);
    expect(ok({ inputs: { "10.inputs.image": "https://example.com/a.png" } })).toBe(true);
    expect(ok({ inputs: { "10.inputs.image": "/etc/passwd" } })).toBe(false);
    expect(ok({ webhook: { url: "ftp://example.com" } })).toBe(false);
  });

  test("the graph that the editor saves is told from one that can be run", () => {
    expect(isUiFormat({ nodes: [], links: [], version: 0.4 })).toBe(true);
    expect(isUiFormat(workflow)).toBe(false);
    expect(isUiFormat(null)).toBe(false);
  });
});

test("a data URI is read with and without base64, and nonsense is none", () => {
  const text = (uri: string) => new TextDecoder().decode(parseDataUri(uri)?.bytes);
  expect(text("data:text/plain;charset=utf-8;base64,YSBmb3g=")).toBe("a fox");
  expect(text("data:,a%20fox")).toBe("a fox");
  expect(parseDataUri("data:image/PNG;base64,AAAA")?.contentType).toBe("image/png");
  for (const uri of ["data:image/png;base64,", "data:image/png", "data:,%", "https://example.com/,x"])
    expect(parseDataUri(uri)).toBeUndefined();
});

describe("params", () => {
  test("a node id may hold dots, dashes and colons", () => {
    expect(parseParamPath("6.inputs.text")).toEqual({ nodeId: "6", input: "text" });
    expect(parseParamPath("6-inputs-text")).toEqual({ nodeId: "6", input: "text" });
    expect(parseParamPath("104:90.inputs.model.prompt")).toEqual({ nodeId: "104:90", input: "model.prompt" });
    expect(parseParamPath("text")).toBeUndefined();
  });

  test("they are written into a copy, and every one that leads nowhere is named", () => {
    const before = graph();
    const { workflow: after, faults } = applyParams(
      before,
      { "3.inputs.seed": "random", "9.inputs.x": 1, nonsense: 2, "3.inputs.__proto__": 3 },
      () => 42,
    );
    expect(after["3"]?.inputs).toMatchObject({ seed: 42 });
    expect(before["3"]?.inputs).toMatchObject({ seed: 1 });
    expect(faults.map(({ param, problem }) => [param, problem])).toEqual([
      ["9.inputs.x", "unknown_node"],
      ["nonsense", "bad_path"],
      ["3.inputs.__proto__", "unknown_input"],
    ]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("a seed that is random in the graph itself is resolved too, so that the stored graph is the one that ran", () => {
    const random = NewJob.parse({
      workflow: { "1": { class_type: "A", inputs: { noise_seed: "random", text: "random" } } },
    });
    expect(applyParams(random.workflow, {}, () => 7).workflow["1"]?.inputs).toEqual({ noise_seed: 7, text: "random" });
  });
});

describe("status and blame", () => {
  test("four statuses are final, every other leads somewhere, and no step leads to an unknown one", () => {
    expect(JOB_STATUSES.filter(isTerminal)).toEqual(["succeeded", "failed", "canceled", "expired"]);
    for (const status of JOB_STATUSES) for (const next of JOB_STEPS[status]) expect(JOB_STATUSES).toContain(next);
  });

  test("infrastructure never uses up a customer's attempts", () => {
    for (const [code, { blame, counts }] of Object.entries(JOB_ERRORS))
      if (blame === "platform" && code !== "internal") expect([code, counts]).toEqual([code, false]);
  });

  test("a failure carries what the table says of its code", () => {
    expect(jobFailure("node_failed", "boom", { nodeId: "2", classType: "Raise" })).toEqual({
      code: "node_failed",
      message: "boom",
      blame: "workflow",
      retryable: false,
      node_id: "2",
      class_type: "Raise",
    });
  });
});

test("what is shown of a job has links made for this answer, and neither tenant nor object keys", async () => {
  const file = { node_id: "9", name: "a.png", type: "image", content_type: "image/png", size_bytes: 1 } as const;
  const key = `${attemptPrefix("J", 2)}a.png`;
  const stored = { ...file, sha256: "0".repeat(64), key };
  const facts = { id: "J", tenant: "acme", sealed_epoch: 2, outputs: [stored] } as unknown as JobFacts; // what presentJob reads
  const job = await presentJob(facts, "http://q", async ({ key: asked }) => ({
    url: `http://s/${asked}`,
    expiresAtMs: 0,
  }));
  expect(job.outputs).toEqual([
    {
      ...file,
      hash: `sha256:${"0".repeat(64)}`,
      url: "http://s/jobs/J/2/a.png",
      url_expires_at: "1970-01-01T00:00:00.000Z",
    },
  ]);
  expect(job.urls.cancel).toBe("http://q/v1/jobs/J/cancel");
  expect(JSON.stringify(job)).not.toContain("acme");
  expect(manifestKey("J")).toBe("jobs/J/manifest.json");
});
