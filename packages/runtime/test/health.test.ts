import { once } from "node:events";
import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { createHealth, createMetrics, hideValue, startHealthServer } from "../src/index.ts";

test("ready when every check is, and each check says what is wrong", async () => {
  const health = createHealth();
  expect(await health.ready()).toEqual({ ok: true, checks: {} });
  health.add("redis", async () => undefined);
  health.add("comfyui", () => "busy");
  expect(await health.ready()).toEqual({
    ok: true,
    checks: { redis: { ok: true }, comfyui: { ok: true, message: "busy" } },
  });
  health.add("storage", () => {
    throw new Error("no such bucket");
  });
  expect(await health.ready()).toMatchObject({
    ok: false,
    checks: { storage: { ok: false, message: "no such bucket" } },
  });
  expect(health.live()).toEqual({ ok: true });
});

test("probes that come together share one answer", async () => {
  let asked = 0;
  const health = createHealth();
  health.add("redis", () => {
    asked += 1;
  });
  await Promise.all([health.ready(), health.ready()]);
  await health.ready();
  expect(asked).toBe(1);
});

test("a check that never answers is not ready, and its signal tells it to give up", async () => {
  const health = createHealth();
  let gaveUp = false;
  health.add("stuck", (signal) => {
    signal.addEventListener("abort", () => (gaveUp = true));
    return new Promise(() => undefined);
  });
  expect(await health.ready()).toMatchObject({ ok: false, checks: { stuck: { message: "no answer within 2000 ms" } } });
  expect(gaveUp).toBe(true);
});

test("a probe's answer holds no secret", async () => {
  const health = createHealth();
  onTestFinished(hideValue("redis-password"));
  health.add("redis", () => Promise.reject(new Error("redis://:redis-password@redis?x=1 refused redis-password")));
  expect(await health.ready()).toMatchObject({ checks: { redis: { message: "redis://redis?x=* refused [hidden]" } } });
});

test("the health server answers /livez, /readyz and /metrics, and nothing else", async () => {
  const health = createHealth();
  const metrics = createMetrics();
  metrics.gauge("comfyq_up", "1 while this process is up").set(1);
  const server = await startHealthServer({ host: "127.0.0.1", port: 0, health, metrics });
  const get = async (path: string, method = "GET") => {
    const response = await fetch(server.url + path, { method });
    return { status: response.status, body: await response.text() };
  };
  expect(await get("/livez")).toEqual({ status: 200, body: '{"ok":true}' });
  expect(await get("/readyz")).toEqual({ status: 200, body: '{"ok":true,"checks":{}}' });
  health.add("redis", () => Promise.reject(new Error("down")));
  expect(await get("/readyz")).toMatchObject({ status: 503, body: expect.stringContaining("down") });
  expect((await get("/metrics")).body).toContain("comfyq_up 1");
  for (const path of ["/", "/metrics/x", "/toString", "/__proto__"]) expect((await get(path)).status).toBe(404);
  expect((await get("/livez", "POST")).status).toBe(404);
  await Promise.all([server.close(), server.close()]);
  await expect(fetch(server.url)).rejects.toThrow();
});

test("a health port that is taken is told by name", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void taken.close());
  await once(taken, "listening");
  const address = taken.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const start = startHealthServer({ host: "127.0.0.1", port, health: createHealth(), metrics: createMetrics() });
  await expect(start).rejects.toThrow(`127.0.0.1:${port}`);
});
