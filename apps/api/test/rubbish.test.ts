import { beat, publishClasses } from "@comfyq/queue";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GRAPH, problem, setup, type TestApi, workerBeat } from "./setup.ts";

let api: TestApi;
beforeAll(async () => {
  api = await setup();
});
afterAll(() => api[Symbol.asyncDispose]());

const node = (inputs: Record<string, unknown> = {}) => ({ "9": { class_type: "SaveImage", inputs } });
const deep = (levels: number) => `{"workflow":${"[".repeat(levels)}${"]".repeat(levels)}}`;

/** What a stranger sends, and every word that they are told. */
const RUBBISH: readonly {
  readonly what: string;
  readonly body: unknown;
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, string>>;
}[] = [
  {
    what: "nothing",
    body: "",
    status: 400,
    code: "invalid_json",
    message: 'The body is empty; send a JSON object such as {"workflow": {…}}',
  },
  {
    what: "no JSON",
    body: '{"workflow": {"3": hello}}',
    status: 400,
    code: "invalid_json",
    message: 'The body is not JSON: at line 1, column 20 there is "h", and there should be a value',
  },
  {
    what: "a trailing comma",
    body: '{\n  "workflow": {},\n}',
    status: 400,
    code: "invalid_json",
    message:
      'The body is not JSON: at line 3, column 1 there is "}", and there should be a name in double quotes (and no comma before a closing })',
  },
  {
    what: "half a body",
    body: '{"workflow": {"3": [1, 2',
    status: 400,
    code: "invalid_json",
    message:
      "The body is not JSON: at line 1, column 25 there is the end of the text, and there should be a comma or ]",
  },
  {
    what: "a list",
    body: [1],
    status: 422,
    code: "invalid_request",
    message: 'The body must be a JSON object such as {"workflow": {…}}',
  },
  {
    what: "2 MB of nesting",
    body: deep(1_000_000),
    status: 400,
    code: "invalid_json",
    message: "The body is nested deeper than 64 levels; no workflow needs that",
  },
  {
    what: "4 million numbers",
    body: `{"workflow":[${"0,".repeat(4_000_000)}0]}`,
    status: 400,
    code: "invalid_json",
    message: "The body holds more than 20000 values; split the work into several jobs",
  },
  {
    what: "a workflow as the editor saves it",
    body: { workflow: { last_node_id: 9, nodes: [{ id: 1 }], links: [] } },
    status: 422,
    code: "workflow_format_ui",
    message:
      "This workflow is in the format that the ComfyUI editor saves, which cannot be run by any API; in ComfyUI choose Workflow > Export (API) (older versions: Save (API Format), after enabling Dev mode in the settings) and send that",
    details: { workflow: "has nodes and links; it must be { node id: { class_type, inputs } }" },
  },
  {
    what: "a workflow without its job",
    body: GRAPH,
    status: 422,
    code: "invalid_request",
    message: 'This is a workflow on its own; send it inside a job: {"workflow": {…}}',
    details: { workflow: "is missing" },
  },
  {
    what: "misspelt fields",
    body: { prompt: GRAPH, timeout: 3, acelerator: "T4" },
    status: 422,
    code: "invalid_request",
    message: "4 fields are wrong: workflow is missing; it must be an object; see details, and /docs for what is taken",
    details: {
      workflow: "is missing; it must be an object",
      prompt: "is not a field here; did you mean workflow?",
      timeout: "is not a field here; did you mean timeout_s?",
      acelerator: "is not a field here; it would have been ignored, so it is refused",
    },
  },
  {
    what: "fields of our own making",
    body: {
      workflow: GRAPH,
      tenant: "other",
      attempts: 0,
      prompt_id: "x",
      client_id: "x",
      number: -1,
      front: true,
      state: "x",
    },
    status: 422,
    code: "invalid_request",
    message:
      "7 fields are wrong: tenant is not a field here; it would have been ignored, so it is refused; see details, and /docs for what is taken",
    details: {
      tenant: "is not a field here; it would have been ignored, so it is refused",
      attempts: "is not a field here; it would have been ignored, so it is refused",
      prompt_id: "is not a field here; it would have been ignored, so it is refused",
      client_id: "is not a field here; it would have been ignored, so it is refused",
      number: "is not a field here; it would have been ignored, so it is refused",
      front: "is not a field here; it would have been ignored, so it is refused",
      state: "is not a field here; it would have been ignored, so it is refused",
    },
  },
  {
    what: "values of the wrong kind",
    body: {
      workflow: GRAPH,
      timeout_s: "5",
      max_attempts: 0,
      priority: 1.5,
      run_at: "tomorrow",
      tags: ["", 5],
      pool: "Bad Pool",
      inputs: { "3.inputs.image": "" },
      webhook: { url: "ftp://x", events: ["done"] },
    },
    status: 422,
    code: "invalid_request",
    message:
      "10 fields are wrong: inputs.3.inputs.image must start with http://, https://, s3://, data: or asset:; see details, and /docs for what is taken",
    details: {
      timeout_s: "must be a number",
      max_attempts: "must be at least 1",
      priority: "must be a whole number",
      run_at: "must be a moment such as 2026-12-01T09:00:00Z (RFC 3339)",
      "tags.0": "must not be shorter than 1",
      "tags.1": "must be a text",
      pool: "1-63 of a-z 0-9 _ - and starting with a letter or digit",
      "inputs.3.inputs.image": "must start with http://, https://, s3://, data: or asset:",
      "webhook.url": "must be an http:// or https:// URL",
      "webhook.events.0":
        "must be one of job.queued, job.started, job.progress, job.output, job.succeeded, job.failed, job.canceled, job.expired",
    },
  },
  {
    what: "nodes that are none",
    body: { workflow: { "6": { inputs: {} }, "7": 5, "8": { class_type: "", inputs: [] } } },
    status: 422,
    code: "invalid_workflow",
    message: "The workflow is not in ComfyUI's API format: workflow.6.class_type is missing; it must be a text",
    details: {
      "workflow.6.class_type": "is missing; it must be a text",
      "workflow.7": "must be an object",
      "workflow.8.class_type": "must not be shorter than 1",
      "workflow.8.inputs": "must be an object",
    },
  },
  {
    what: "an empty workflow",
    body: { workflow: {} },
    status: 422,
    code: "invalid_workflow",
    message: "The workflow has no nodes; export one from ComfyUI with Workflow > Export (API)",
  },
  {
    what: "2001 nodes",
    body: {
      workflow: Object.fromEntries(Array.from({ length: 2_001 }, (_, at) => [at, { class_type: "A", inputs: {} }])),
    },
    status: 422,
    code: "invalid_workflow",
    message: "The workflow has 2001 nodes, and at most 2000 are taken; split it",
  },
  {
    what: "links to nodes that are not there",
    body: { workflow: node({ images: ["3", 0], pair: ["a", "b"], list: [1, 2] }) },
    status: 422,
    code: "invalid_workflow",
    message: "Some inputs are linked to nodes that the workflow does not have",
    details: { "workflow.9.inputs.images": 'is linked to node "3", which is not there' },
  },
  {
    what: "params that lead nowhere",
    body: { workflow: node(), params: { text: 1, "6.inputs.text": 2, "9.inputs.constructor": 3 } },
    status: 422,
    code: "invalid_request",
    message: "Some params lead to no place in the workflow; see details",
    details: {
      "params.text": "is no address; write <node id>.inputs.<name>, such as 6.inputs.text",
      "params.6.inputs.text": 'the workflow has no node "6"',
      "params.9.inputs.constructor": "this input's name is not allowed",
    },
  },
  {
    what: "inputs and files that cannot be taken",
    body: {
      workflow: node({ image: "named.png" }),
      inputs: {
        image: "https://example.com/x",
        "10.inputs.image": "https://example.com/x",
        "9.inputs.a": "s3://bucket",
        "9.inputs.b": "https://user:password@example.com/",
        "9.inputs.c": "https://",
        "9.inputs.d": "data:image/png;base64,@@@@",
        "9.inputs.e": "data:",
        "9.inputs.f": "asset:nope",
      },
      files: {
        "/input/../../etc/passwd": "https://example.com/x",
        "/input/.hidden": "https://example.com/x",
        "/input/CON.png": "https://example.com/x",
        "/models/loras/a.safetensors": "https://example.com/x",
        "/etc/passwd": "https://example.com/x",
        "/input/unnamed.png": "https://example.com/x",
      },
    },
    status: 422,
    code: "invalid_request",
    message: "Some inputs cannot be taken; see details",
    details: {
      "inputs.image": "is no address; write <node id>.inputs.<name>, such as 10.inputs.image",
      "inputs.10.inputs.image": 'the workflow has no node "10"',
      "inputs.9.inputs.a": "is no S3 address; write s3://bucket/key",
      "inputs.9.inputs.b": "has a user name or password in it, which is not sent; use a presigned URL",
      "inputs.9.inputs.c": "is no URL that can be fetched; write it in full, https://host/path",
      "inputs.9.inputs.d": "its bytes are not base64",
      "inputs.9.inputs.e": "is no data URI; write data:<type>;base64,<bytes>",
      "inputs.9.inputs.f": "is no asset; write asset:<id> with the id that POST /v1/assets gave",
      "files./input/../../etc/passwd":
        "its name may have letters, digits, dot, space, _ and -, must not begin with a dot, and may have folders",
      "files./input/.hidden":
        "its name may have letters, digits, dot, space, _ and -, must not begin with a dot, and may have folders",
      "files./input/CON.png":
        "its name may have letters, digits, dot, space, _ and -, must not begin with a dot, and may have folders",
      "files./models/loras/a.safetensors": 'no input of the workflow says "a.safetensors", so nothing would use it',
      "files./etc/passwd": "only /input/<name> and /models/<folder>/<name> can be written, such as /input/pose.png",
      "files./input/unnamed.png": 'no input of the workflow says "unnamed.png", so nothing would use it',
    },
  },
  {
    what: "an asset that is not there",
    body: { workflow: node(), inputs: { "9.inputs.image": "asset:01a2015c-011f-7a09-a25c-6bd9f67d68ae" } },
    status: 422,
    code: "missing_asset",
    message: "There is no asset 01a2015c-011f-7a09-a25c-6bd9f67d68ae; upload it with POST /v1/assets first",
    details: { "inputs.9.inputs.image": "asset:01a2015c-011f-7a09-a25c-6bd9f67d68ae is not there" },
  },
  {
    what: "a node named __proto__",
    body: '{"workflow":{"__proto__":{"class_type":"SaveImage","inputs":{}}}}',
    status: 422,
    code: "invalid_request",
    message: 'A field is named "__proto__", which is not taken; rename it',
    details: { "workflow.__proto__": "this name is not allowed" },
  },
  {
    what: "a very long text",
    body: { workflow: node({ text: "a".repeat(300_000) }) },
    status: 422,
    code: "invalid_request",
    message: "A text in the body is too long; send it as an input or an asset",
    details: { "workflow.9.inputs.text": "at most 262144 characters fit here" },
  },
  {
    what: "a picture inside the graph",
    body: { workflow: node({ image: `data:image/png;base64,${"A".repeat(1_100_000)}` }) },
    status: 413,
    code: "payload_too_large",
    message: "The workflow is larger than 1000000 bytes; send files as inputs or assets instead of inside the graph",
  },
];

describe("a stranger who submits", () => {
  test.each(RUBBISH)("$what is told: $code", async ({ body, status, code, message, details = {} }) => {
    const answer = await api.post("/v1/jobs", body);
    expect(problem(answer)).toEqual({ status, code, message });
    const told = answer.json.error.details.map((fault: { path: string; message: string }) => [
      fault.path,
      fault.message,
    ]);
    expect(Object.fromEntries(told)).toEqual(details);
  });

  test("a body over the limit is told so, said beforehand or not", async () => {
    const message =
      "The body is larger than 10000000 bytes; upload big files with POST /v1/assets and name them as asset:<id>";
    const announced = await api.post("/v1/jobs", `"${"a".repeat(10_000_000)}"`);
    expect(problem(announced)).toEqual({ status: 413, code: "payload_too_large", message });
    const chunks = Array.from({ length: 11 }, () => new Uint8Array(1_000_000));
    const streamed = await api.call("/v1/jobs", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: ReadableStream.from(chunks),
      duplex: "half",
    } as RequestInit); // `duplex` is asked for by fetch and missing in its type
    expect(problem(streamed)).toEqual({ status: 413, code: "payload_too_large", message });
  });

  test("a form and a compressed body are refused by their headers", async () => {
    const form = await api.call("/v1/jobs", { method: "POST", body: new URLSearchParams({ workflow: "{}" }) });
    expect(problem(form)).toEqual({
      status: 415,
      code: "unsupported_media_type",
      message: "This call takes JSON; send it with Content-Type: application/json",
    });
    const packed = await api.post("/v1/jobs", "x", { "content-encoding": "gzip" });
    expect(problem(packed)).toMatchObject({ status: 415, code: "unsupported_media_type" });
  });

  test("bytes that are no UTF-8 are refused", async () => {
    const answer = await api.call("/v1/jobs", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: new Uint8Array([0x22, 0xff, 0x22]),
    });
    expect(problem(answer)).toMatchObject({ status: 400, code: "invalid_json" });
  });

  test("rubbish leaves no job, no trace in the log, and Object.prototype as it was", async () => {
    await api.post("/v1/jobs", { workflow: node({ text: "SECRET-MARKER" }), webhook: { url: "nonsense" } });
    expect((await api.call("/v1/jobs")).json.jobs).toEqual([]);
    expect(api.log()).not.toContain("SECRET-MARKER");
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

describe("node classes that the pool does not have", () => {
  const CLASSES = { KSampler: false, EmptyImage: false, SaveImage: true };

  async function tellClasses(own: TestApi, prefix: string): Promise<void> {
    const { openClaimer } = await import("@comfyq/queue");
    const claimer = await openClaimer({
      redisUrl: own.redis.url,
      prefix,
      pool: "default",
      workerId: "teller",
      instance: "i",
    });
    await publishClasses(claimer.room, "f1", CLASSES);
    await beat(claimer.room, workerBeat({ id: "teller", fingerprint: "f1" }));
    await claimer.close();
  }

  test("are named, every one of them, with what may be meant", async () => {
    await using own = await setup({ env: { COMFYQ_PREFIX: "classes" } });
    await own.submit({ workflow: { "1": { class_type: "Anything" } } }); // nobody has told yet, so nothing can be said
    await tellClasses(own, "classes");
    const workflow = {
      ...GRAPH,
      "4": { class_type: "KSampelr", inputs: {} },
      "5": { class_type: "__proto__", inputs: {} },
    };
    await expect.poll(async () => (await own.post("/v1/jobs", { workflow })).status, { timeout: 8_000 }).toBe(422);
    const answer = await own.post("/v1/jobs", { workflow });
    expect(problem(answer)).toEqual({
      status: 422,
      code: "invalid_workflow",
      message:
        "No instance of pool default has the node classes KSampelr, __proto__; correct the name, or install the custom nodes and restart ComfyUI",
    });
    expect(answer.json.error.details).toEqual([
      { path: "workflow.4.class_type", message: 'unknown class "KSampelr"; did you mean KSampler?' },
      { path: "workflow.5.class_type", message: 'unknown class "__proto__"' },
    ]);
    const mute = await own.post("/v1/jobs", { workflow: { "3": GRAPH["3"] } });
    expect(problem(mute)).toEqual({
      status: 422,
      code: "invalid_workflow",
      message: "The workflow has no output node, so it would produce nothing; add one such as SaveImage",
    });
    expect((await own.submit()).status).toBe("queued");
  });
});
