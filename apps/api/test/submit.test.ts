import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GRAPH, problem, setup, type TestApi } from "./setup.ts";

let api: TestApi;
beforeAll(async () => {
  api = await setup();
});
afterAll(() => api[Symbol.asyncDispose]());

describe("submitting", () => {
  test("a job is answered with 201, its address, and everything that was asked for", async () => {
    const answer = await api.post("/v1/jobs", {
      workflow: GRAPH,
      priority: 7,
      timeout_s: 60,
      max_attempts: 2,
      metadata: { order: "42" },
      tags: ["campaign-7"],
    });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({
      status: "queued",
      pool: "default",
      priority: 7,
      timeout_s: 60,
      max_attempts: 2,
      metadata: { order: "42" },
      tags: ["campaign-7"],
      attempts: 0,
      outputs: [],
    });
    expect(answer.headers.get("location")).toBe(`${api.url}/v1/jobs/${answer.json.id}`);
    expect(answer.json.urls.self).toBe(answer.headers.get("location"));
    expect(await api.read(answer.json.id)).toMatchObject({ id: answer.json.id, status: "queued" });
  });

  test("a job survives a kill of Redis the moment it is answered", async () => {
    await using own = await setup();
    const job = await own.submit();
    await own.redis.kill();
    await own.redis.restart();
    await expect.poll(async () => (await own.call(`/v1/jobs/${job.id}`)).status, { timeout: 10_000 }).toBe(200);
  });

  test("params stand in the graph that runs, and a random seed is a number by then", async () => {
    const workflow = { ...GRAPH, "5": { class_type: "KSampler", inputs: { seed: 1, text: "{{old}}" } } };
    const params = { "5.inputs.seed": "random", "5-inputs-text": "a fox", "3.inputs.width": 512 };
    const { id } = await api.submit({ workflow, params });
    const shown = await api.call(`/v1/jobs/${id}/workflow`);
    expect(shown.json.format).toBe("api");
    expect(shown.json.workflow["3"].inputs.width).toBe(512);
    expect(shown.json.workflow["5"].inputs.text).toBe("a fox");
    expect(Number.isSafeInteger(shown.json.workflow["5"].inputs.seed)).toBe(true);
  });

  test("a job with run_at waits for its moment", async () => {
    const job = await api.submit({ run_at: "2099-01-01T00:00:00Z" });
    expect(job).toMatchObject({ status: "queued", run_at: "2099-01-01T00:00:00Z", queue_position: null });
  });

  test("a job of higher priority is claimed before an older one", async () => {
    const older = await api.submit({ pool: "prio" });
    const urgent = await api.submit({ pool: "prio", priority: 5 });
    const first = await api.claim("prio");
    expect(first.id).toBe(urgent.id);
    await api.succeed(first);
    expect((await api.claim("prio")).id).toBe(older.id);
  });

  test("the worker gets the job with its inputs, and never the tenant's own word for who it is", async () => {
    const inputs = { "3.inputs.image": "data:image/png;base64,AAAA" };
    const { id } = await api.submit({ pool: "inputs", inputs, files: { "/input/hello": "https://example.com/x.png" } });
    const held = await api.claim("inputs");
    expect(held).toMatchObject({ id, tenant: "default" });
    expect(held.request).toMatchObject({
      inputs: { "3.inputs.image": { url: inputs["3.inputs.image"] } },
      files: { "/input/hello": { url: "https://example.com/x.png" } },
    });
  });
});

describe("Idempotency-Key", () => {
  const keyed = (key: string, body: unknown = { workflow: GRAPH }) =>
    api.post("/v1/jobs", body, { "idempotency-key": key });

  test("fifty requests at once with one key are one job", async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => keyed("order-1")));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1);
    const replayed = answers.filter(({ headers }) => headers.get("idempotency-replayed") === "true");
    expect(replayed).toHaveLength(49);
    const page = await api.call("/v1/jobs?limit=100");
    expect(page.json.jobs.filter((job: { id: string }) => job.id === answers[0]?.json.id)).toHaveLength(1);
  });

  test("the same body in another order of keys is the same body", async () => {
    const first = await keyed("order-2", { workflow: GRAPH, tags: ["a"] });
    const again = await keyed("order-2", { tags: ["a"], workflow: { "9": GRAPH["9"], "3": GRAPH["3"] } });
    expect(again.json.id).toBe(first.json.id);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
  });

  test("so is one with params or a random seed, indented or not", async () => {
    const params = { "3.inputs.color": 7, "3.inputs.seed": "random" };
    const first = await keyed("order-2b", { workflow: GRAPH, params });
    const again = await keyed("order-2b", JSON.stringify({ params, workflow: GRAPH }, undefined, 2));
    expect(again.json.id).toBe(first.json.id);
    const other = { workflow: GRAPH, params: { ...params, "3.inputs.color": 8 } };
    expect((await keyed("order-2b", other)).status).toBe(422);
  });

  test("what runs is what was sent, whichever way it is kept", async () => {
    const graph = {
      ...GRAPH,
      "7": { class_type: "Notes", inputs: { text: 'ünï "quoted" 🦊' }, _meta: { title: "t" } },
    };
    const bare = await keyed("order-2c", { workflow: graph, tags: ["kept whole"] });
    const written = await keyed("order-2d", { workflow: GRAPH, params: { "3.inputs.width": 32 } });
    expect((await api.call(`/v1/jobs/${bare.json.id}/workflow`)).json.workflow).toEqual(graph);
    expect((await api.call(`/v1/jobs/${written.json.id}/workflow`)).json.workflow["3"].inputs.width).toBe(32);
  });

  test("another body under a used key is refused", async () => {
    await keyed("order-3");
    expect(problem(await keyed("order-3", { workflow: GRAPH, priority: 1 }))).toEqual({
      status: 422,
      code: "idempotency_key_reuse",
      message: "This Idempotency-Key was used with another body; use a new key for a new job",
    });
  });

  test("a repeat is given its job although its asset is gone by now", async () => {
    const form = new FormData();
    form.set("file", new Blob(["soon gone"]), "gone.txt");
    const asset = await api.call("/v1/assets", { method: "POST", body: form });
    const body = { workflow: GRAPH, inputs: { "3.inputs.image": `asset:${asset.json.id}` } };
    const first = await keyed("order-4", body);
    const { rm } = await import("node:fs/promises");
    await rm(`${api.dataDir}/files/assets`, { recursive: true });
    const again = await keyed("order-4", body);
    expect(again.status).toBe(201);
    expect(again.json.id).toBe(first.json.id);
    expect(problem(await keyed("order-5", body)).code).toBe("missing_asset");
  });

  test("an empty key and one of 256 characters are refused", async () => {
    for (const key of ["", "k".repeat(256)])
      expect(problem(await keyed(key))).toMatchObject({ status: 422, code: "invalid_request" });
  });
});

describe("Prefer: wait", () => {
  test("the answer comes with the end of the job", async () => {
    const waiting = api.post("/v1/jobs", { workflow: GRAPH, pool: "wait" }, { prefer: "respond-async, wait=30" });
    await api.succeed(await api.claim("wait"), { "a.png": "png" });
    const answer = await waiting;
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ status: "succeeded", outputs: [{ name: "a.png" }] });
    expect(answer.headers.get("preference-applied")).toBe("wait=30");
  });

  test("when the time is over the job is answered as it is", async () => {
    const answer = await api.post("/v1/jobs", { workflow: GRAPH, pool: "wait2" }, { prefer: "wait=0" });
    expect(answer.status).toBe(201);
    expect(answer.json.status).toBe("queued");
    expect(answer.headers.get("preference-applied")).toBe("wait=0");
  });
});

describe("retry", () => {
  test("an ended job is submitted again with the same graph, seeds and inputs", async () => {
    const old = await api.submit({
      pool: "retry",
      workflow: { ...GRAPH, "5": { class_type: "KSampler", inputs: { seed: "random" } } },
      inputs: { "3.inputs.image": "https://example.com/a.png" },
      tags: ["t"],
      priority: 3,
    });
    await api.succeed(await api.claim("retry"));
    const answer = await api.post(`/v1/jobs/${old.id}/retry`, "");
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ status: "queued", pool: "retry", tags: ["t"], priority: 3 });
    expect(answer.json.id).not.toBe(old.id);
    const held = await api.claim("retry");
    expect(held.id).toBe(answer.json.id);
    expect(held.request.inputs).toEqual({ "3.inputs.image": { url: "https://example.com/a.png" } });
    expect(held.request.workflow).toEqual((await api.call(`/v1/jobs/${old.id}/workflow`)).json.workflow);
  });

  test("retried twice under one Idempotency-Key it is one new job", async () => {
    const old = await api.submit({ pool: "retry2" });
    await api.succeed(await api.claim("retry2"));
    const again = () => api.post(`/v1/jobs/${old.id}/retry`, "", { "idempotency-key": "retry-1" });
    const [first, second] = [await again(), await again()];
    expect(second.json.id).toBe(first.json.id);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
  });

  test("a job that has not ended is not retried", async () => {
    const { id } = await api.submit();
    expect(problem(await api.post(`/v1/jobs/${id}/retry`, ""))).toEqual({
      status: 409,
      code: "conflict",
      message: `Job ${id} is still queued; wait for its end, or cancel it first`,
    });
  });
});
