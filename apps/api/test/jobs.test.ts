import { jobFailure } from "@comfyq/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { problem, setup, type TestApi } from "./setup.ts";

let api: TestApi;
beforeAll(async () => {
  api = await setup();
});
afterAll(() => api[Symbol.asyncDispose]());

describe("the life of a job, as its owner sees it", () => {
  test("queued, running with progress, succeeded with fresh links", async () => {
    const { id } = await api.submit({ pool: "life" });
    expect(await api.read(id)).toMatchObject({ status: "queued", queue_position: 1 });
    const held = await api.claim("life");
    await held.journal({ instance: "http://127.0.0.1:8188", stage: "rendering" });
    const progress = {
      value: 0.5,
      nodes_done: 1,
      nodes_total: 2,
      current_node: "9",
      current_node_class: "SaveImage",
      step: 3,
      steps: 6,
      message: null,
    };
    held.report(progress);
    await expect.poll(async () => (await api.read(id)).progress).toEqual(progress);
    expect(await api.read(id)).toMatchObject({ status: "running", stage: "rendering", attempts: 1 });
    await api.succeed(held, { "a.png": "the bytes" }, [
      { node_id: "7", name: "caption", type: "value", value: "a fox" },
    ]);
    const job = await api.read(id);
    expect(job).toMatchObject({
      status: "succeeded",
      stage: null,
      metrics: { prepare_ms: 1, render_ms: 2, store_ms: 3 },
      outputs: [
        { name: "a.png", content_type: "image/png", size_bytes: 9 },
        { name: "caption", value: "a fox" },
      ],
    });
    const file = await api.call(job.outputs[0]?.url ?? "");
    expect(file).toMatchObject({ status: 200, text: "the bytes" });
    expect(Date.parse(job.outputs[0]?.url_expires_at ?? "")).toBeGreaterThan(Date.now() + 3_500_000);
    expect(JSON.stringify(job)).not.toContain("sealed_epoch");
  });

  test("a failure says what, where, whose fault, and whether trying again helps", async () => {
    const { id } = await api.submit({ pool: "fail" });
    const held = await api.claim("fail");
    await held.end({ kind: "failed", error: jobFailure("node_failed", "node 3 raised ValueError", { nodeId: "3" }) });
    expect(await api.read(id)).toMatchObject({
      status: "failed",
      error: { code: "node_failed", node_id: "3", blame: "workflow", retryable: false },
    });
    const { json } = await api.call(`/v1/jobs/${id}/attempts`);
    expect(json.attempts).toMatchObject([
      { epoch: 1, worker: "w-fail", end: "failed", error: { code: "node_failed" } },
    ]);
  });
});

describe("cancel", () => {
  test("a queued job is canceled at once, and canceling it again changes nothing", async () => {
    const { id } = await api.submit({ pool: "cancel1" });
    const answer = await api.post(`/v1/jobs/${id}/cancel`, "");
    expect(answer).toMatchObject({ status: 200, json: { id, status: "canceled" } });
    expect(await api.post(`/v1/jobs/${id}/cancel`, "")).toMatchObject({ status: 200, json: { status: "canceled" } });
  });

  test("a running job is canceling, its worker hears of it, and it ends as canceled", async () => {
    const { id } = await api.submit({ pool: "cancel2" });
    const held = await api.claim("cancel2");
    const heard = new Promise((resolve) => held.signal.addEventListener("abort", () => resolve(held.signal.reason)));
    expect(await api.post(`/v1/jobs/${id}/cancel`, "")).toMatchObject({ status: 200, json: { status: "canceling" } });
    expect(await heard).toBe("canceled");
    await held.end({ kind: "failed", error: jobFailure("canceled", "stopped") });
    expect((await api.read(id)).status).toBe("canceled");
  });

  test("a job that has ended otherwise cannot be canceled", async () => {
    const { id } = await api.submit({ pool: "cancel3" });
    await api.succeed(await api.claim("cancel3"));
    expect(problem(await api.post(`/v1/jobs/${id}/cancel`, ""))).toEqual({
      status: 409,
      code: "conflict",
      message: `Job ${id} has already ended as succeeded; there is nothing to cancel`,
    });
  });
});

describe("the list", () => {
  test("250 jobs, many of one millisecond, come in pages, each once, newest first", async () => {
    await using own = await setup();
    await Promise.all(Array.from({ length: 250 }, () => own.submit()));
    const seen: string[] = [];
    let cursor: string | null = "";
    let pages = 0;
    while (cursor !== null) {
      const page = await own.call(`/v1/jobs?limit=40${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      seen.push(...page.json.jobs.map((job: { created_at: string; id: string }) => `${job.created_at} ${job.id}`));
      cursor = page.json.next_cursor;
      pages += 1;
    }
    expect(pages).toBe(7);
    expect(new Set(seen).size).toBe(250);
    expect(new Set(seen.map((place) => place.split(" ")[0])).size).toBeLessThan(250);
    expect(seen).toEqual([...seen].sort().reverse());
  });

  test("a mangled cursor is refused, and does not begin the list anew", async () => {
    await using own = await setup();
    await Promise.all([own.submit(), own.submit()]);
    const { next_cursor: cursor } = (await own.call("/v1/jobs?limit=1")).json;
    for (const list of ["jobs", "batches", "deliveries"])
      for (const mangled of ["xx", "%00", `${cursor.slice(1)}`])
        expect(problem(await own.call(`/v1/${list}?cursor=${mangled}`))).toMatchObject({
          status: 422,
          message: expect.stringContaining("query.cursor is no next_cursor of a page"),
        });
    for (const [path, body] of [
      ["/v1/jobs/retry", { status: "failed", cursor: "xx" }],
      ["/v1/deliveries/redeliver", { since: "2026-12-01T09:00:00Z", cursor: "xx" }],
    ] as const)
      expect(problem(await own.post(path, body))).toMatchObject({
        code: "invalid_request",
        message: expect.stringContaining("is no next_cursor of a page"),
      });
    expect((await own.call(`/v1/jobs?limit=1&cursor=${cursor}`)).json.jobs).toHaveLength(1);
  });

  test("is filtered by status, tag and pool", async () => {
    await using own = await setup();
    const a = await own.submit({ tags: ["red"], pool: "one" });
    const b = await own.submit({ tags: ["red", "blue"], pool: "two" });
    await own.post(`/v1/jobs/${a.id}/cancel`, "");
    const ids = async (query: string) =>
      (await own.call(`/v1/jobs?${query}`)).json.jobs.map((job: { id: string }) => job.id);
    expect(await ids("tag=red")).toEqual([b.id, a.id]);
    expect(await ids("tag=blue")).toEqual([b.id]);
    expect(await ids("tag=green")).toEqual([]);
    expect(await ids("status=canceled")).toEqual([a.id]);
    expect(await ids("tag=red&status=queued")).toEqual([b.id]);
    expect(await ids("pool=one")).toEqual([a.id]);
  });

  test("refuses what it does not know, by name", async () => {
    const answer = await api.call("/v1/jobs?stauts=queued&limit=1000&status=done&tag=a&tag=b");
    expect(problem(answer)).toMatchObject({ status: 422, code: "invalid_request" });
    expect(answer.json.error.details).toEqual([
      {
        path: "query.status",
        message: "must be one of queued, running, canceling, succeeded, failed, canceled, expired",
      },
      { path: "query.tag", message: "must be a text" },
      { path: "query.limit", message: "must be at most 100" },
      { path: "query.stauts", message: "is not a field here; did you mean status?" },
    ]);
  });
});
