import { beat, disableEndpoint, openClaimer } from "@comfyq/queue";
import { describe, expect, test } from "vitest";
import { bearer, GRAPH, problem, setup, workerBeat } from "./setup.ts";

describe("what machines and people ask", () => {
  test("with Redis away the API lives, is not ready, and answers 503 with Retry-After; then it goes on by itself", async () => {
    await using api = await setup();
    expect(await api.call("/readyz")).toMatchObject({ status: 200, json: { ok: true } });
    const { id } = await api.submit();
    await api.redis.kill();
    const refused = await api.post("/v1/jobs", { workflow: { "9": { class_type: "SaveImage", inputs: {} } } });
    expect(problem(refused)).toMatchObject({ status: 503, code: "unavailable" });
    expect(refused.headers.get("retry-after")).toBe("2");
    expect((await api.call(`/v1/jobs/${id}`)).status).toBe(503);
    expect((await api.call(`/v1/jobs/${id}/events`)).status).toBe(503);
    expect((await api.call("/livez")).status).toBe(200);
    await expect.poll(async () => (await api.call("/readyz")).status, { timeout: 5_000 }).toBe(503);
    expect((await api.call("/v1/doctor")).json.checks).toContainEqual(
      expect.objectContaining({ name: "redis", state: "fail", advice: "start Redis, or correct REDIS_URL" }),
    );
    await api.redis.restart();
    await expect.poll(async () => (await api.call("/readyz")).status, { timeout: 10_000 }).toBe(200);
    expect((await api.read(id)).status).toBe("queued");
  });

  test("/metrics counts jobs per pool, workers per state and answers per route, and names no tenant", async () => {
    await using api = await setup();
    await api.submit({ pool: "gpu" });
    await api.call("/v1/jobs/nonsense");
    const { text, headers } = await api.call("/metrics");
    expect(headers.get("content-type")).toContain("text/plain");
    expect(text).toContain('comfyq_jobs{pool="gpu",state="waiting"} 1');
    expect(text).toContain('comfyq_http_request_duration_seconds_count{method="POST",route="/v1/jobs",status="201"} 1');
    expect(text).toContain(
      'comfyq_http_request_duration_seconds_count{method="GET",route="/v1/jobs/{id}",status="404"} 1',
    );
    expect(text).not.toContain("tenant");
  });

  test("the doctor names everything a job needs, with advice for what is missing", async () => {
    await using api = await setup({ env: { COMFYQ_PREFIX: "doctor" } });
    const before = await api.call("/v1/doctor");
    expect(before.json.ok).toBe(false);
    const states = Object.fromEntries(
      before.json.checks.map((check: { name: string; state: string }) => [check.name, check.state]),
    );
    expect(states).toEqual({
      "redis version": "ok",
      "redis persistence": "ok",
      "redis eviction": "ok",
      clock: "ok",
      storage: "ok",
      workers: "fail",
      poison: "ok",
      webhooks: "ok",
      schedules: "ok",
      "api keys": "ok",
    });
    for (const { state, advice } of before.json.checks) expect(advice === null).toBe(state === "ok");
    const claimer = await openClaimer({
      redisUrl: api.redis.url,
      prefix: "doctor",
      pool: "default",
      workerId: "w1",
      instance: "i",
    });
    await beat(claimer.room, workerBeat());
    await beat(claimer.room, workerBeat({ id: "w2", state: "unready", reason: "connection refused" }));
    await beat(claimer.room, workerBeat({ id: "w3", state: "quarantined", reason: "3 jobs in a row failed" }));
    const after = await api.call("/v1/doctor");
    expect(after.json.checks).toContainEqual({
      name: "worker w1",
      state: "ok",
      found: "idle, pool default, ComfyUI 0.33.0 at http://127.0.0.1:8188",
      advice: null,
    });
    expect(after.json.checks).toContainEqual(
      expect.objectContaining({ name: "worker w2", state: "fail", advice: expect.stringContaining("start ComfyUI") }),
    );
    const quarantined = { name: "worker w3", state: "fail", found: expect.stringContaining("3 jobs in a row failed") };
    expect(after.json.checks).toContainEqual(expect.objectContaining(quarantined));
    const { json } = await api.call("/v1/workers");
    expect(json.workers).toMatchObject([{ id: "w1", device: "NVIDIA H100" }, { id: "w2" }, { id: "w3" }]);
    await claimer.close();
  });

  test("jobs that wait in a paused pool, or in one without workers, do not look well to the doctor", async () => {
    await using api = await setup({
      env: { COMFYQ_OPERATOR_KEY: "operator-key-of-the-tests", COMFYQ_PREFIX: "pools" },
    });
    const at = { redisUrl: api.redis.url, prefix: "pools", workerId: "w1", instance: "i" };
    const claimer = await openClaimer({ ...at, pool: "default" });
    await beat(claimer.room, workerBeat());
    await api.submit({ pool: "nobodys" });
    await api.submit();
    const pause = { method: "PUT", headers: bearer("operator-key-of-the-tests") };
    expect((await api.call("/admin/queues/api/queues/jobs-default/pause", pause)).status).toBe(200);
    const { checks } = (await api.call("/v1/doctor")).json;
    expect(checks.filter(({ name }: { name: string }) => name.startsWith("pool "))).toMatchObject([
      { name: "pool default", state: "warn", found: "paused by an operator; waiting jobs: 1" },
      { name: "pool nobodys", state: "warn", found: "no worker serves it; waiting jobs: 1" },
    ]);
    expect((await api.call("/v1/pools")).json.pools).toMatchObject([
      { name: "default", paused: true, waiting: 1 },
      { name: "nobodys", paused: false, waiting: 1 },
    ]);
    await claimer.close();
  });

  test("the doctor tells of disabled endpoints and of schedules without a job, whose dispatcher is away, and what to do", async () => {
    await using api = await setup({ env: { COMFYQ_PREFIX: "telling" } });
    const { json: endpoint } = await api.post("/v1/webhooks", { url: "https://example.com/in" });
    const body = JSON.stringify({ cron: "@yearly", job: { workflow: GRAPH } });
    const headers = { "content-type": "application/json" };
    expect((await api.call("/v1/schedules/daily", { method: "PUT", headers, body })).status).toBe(201);
    const options = { redisUrl: api.redis.url, prefix: "telling" };
    const claimer = await openClaimer({ ...options, pool: "default", workerId: "w", instance: "i" });
    const { room } = claimer;
    const checkOf = async (name: string) =>
      (await api.call("/v1/doctor")).json.checks.find((check: { name: string }) => check.name === name);

    await disableEndpoint(room, "default", endpoint.id, "It answered 410 Gone");
    expect(await checkOf("webhooks")).toMatchObject({
      state: "warn",
      found: "1 of 1 endpoints are disabled, such as https://example.com/in: It answered 410 Gone",
      advice: expect.stringContaining(`comfyq webhooks enable ${endpoint.id}`),
    });
    const { redis, names } = room;
    await redis.zadd(names.schedulesDue, "XX", Date.now() + 60_000, "default/daily"); // a dispatcher has looked at it
    const at = "2026-11-27T02:30:00.000Z";
    const missed = {
      tick_at: at,
      decided_at: at,
      trigger: "rule",
      outcome: "missed",
      job_id: null,
      canceled: [],
      count: 1,
    };
    const lastTick = JSON.stringify({ ...missed, reason: "No dispatcher came to it" });
    await redis.hset(names.schedule("default", "daily"), "last_tick", lastTick);
    expect(await checkOf("schedules")).toMatchObject({
      state: "warn",
      found: "1 of 1 made no job at their last moment, such as daily: No dispatcher came to it",
      advice: "see its history: comfyq schedules ticks daily",
    });
    await redis.zadd(names.schedulesDue, "XX", Date.now() - 90_000, "default/daily");
    expect(await checkOf("schedules")).toMatchObject({ state: "fail", advice: expect.stringContaining("dispatcher") });
    await claimer.close();
  });

  test("a worker's job is named to its owner only", async () => {
    await using api = await setup({ env: { COMFYQ_PREFIX: "whose" } });
    const { id } = await api.submit();
    const held = await api.claim();
    const claimer = await openClaimer({
      redisUrl: api.redis.url,
      prefix: "whose",
      pool: "default",
      workerId: "w1",
      instance: "i",
    });
    const worker = (job_id: string) =>
      beat(claimer.room, {
        id: "w1",
        pool: "default",
        instance: "http://127.0.0.1:8188",
        state: "rendering",
        reason: null,
        job_id,
        storing: 0,
        comfyui_version: null,
        fingerprint: null,
        device: null,
        started_at: new Date().toISOString(),
        beat_at: new Date().toISOString(),
      });
    await worker(id);
    expect((await api.call("/v1/workers")).json.workers).toMatchObject([{ job_id: id }]);
    await worker("01a2015c-011f-7a09-a25c-6bd9f67d68ae");
    expect((await api.call("/v1/workers")).json.workers).toMatchObject([{ job_id: null }]);
    expect((await api.call("/v1/pools")).json.pools).toEqual([
      { name: "default", waiting: 0, delayed: 0, active: 1, succeeded: 0, failed: 0, paused: false, workers: 1 },
    ]);
    await api.succeed(held);
    await claimer.close();
  });
});
