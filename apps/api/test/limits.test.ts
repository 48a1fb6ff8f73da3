import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { bearer, setup, type TestApi, writeKeys } from "./setup.ts";

/** An API with these limits, and a key of tenant acme. */
async function limited(limits: unknown, env: Record<string, string> = {}) {
  const api = await setup({ env });
  const [key = ""] = await writeKeys(join(api.dataDir, "keys.json"), [
    { tenant: "acme", scopes: ["submit", "read", "cancel"] },
  ]);
  await writeLimits(api, limits);
  await api.restart();
  return { api, headers: bearer(key) };
}

/** Replaces the file in one step, as others see it. */
async function writeLimits(api: TestApi, limits: unknown): Promise<void> {
  const path = join(api.dataDir, "limits.json");
  await writeFile(`${path}.new`, typeof limits === "string" ? limits : JSON.stringify(limits));
  await rename(`${path}.new`, path);
}

const acme = (limits: unknown) => ({ v: 1, tenants: { acme: limits } });
const BODY = { workflow: { "3": { class_type: "EmptyImage", inputs: {} } } };

test("a tenant at its limit gets 429: which limit, how much is used, and when to come back", async () => {
  const { api, headers } = await limited(acme({ queued: 1 }));
  await using _ = api;
  expect((await api.post("/v1/jobs", BODY, headers)).status).toBe(201);
  const refused = await api.post("/v1/jobs", BODY, headers);
  expect(refused.status).toBe(429);
  expect(refused.json.error).toMatchObject({
    code: "limit_reached",
    message: expect.stringContaining("limit of 1 queued jobs"),
    details: [{ path: "limits.queued", message: "1 of 1 are in use" }],
  });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  const shown = await api.call("/v1/limits", { headers });
  expect(shown.json).toMatchObject({
    tenant: "acme",
    queued: { limit: 1, used: 1 },
    running: { limit: null, used: 0 },
    requests_per_s: { limit: null },
    gpu_seconds_per_day: { limit: null, used: 0 },
  });
});

test("a batch that finds no room gets 429 and when to come back; one that is larger than the limit is told so, and not to come back", async () => {
  const { api, headers } = await limited(acme({ queued: 3 }));
  await using _ = api;
  const batch = (rows: number) =>
    api.post("/v1/batches", { ...BODY, rows: Array.from({ length: rows }, () => ({})) }, headers);
  expect((await batch(2)).status).toBe(201);
  const refused = await batch(2);
  expect([refused.status, refused.json.error.code]).toEqual([429, "limit_reached"]);
  expect(refused.json.error.details).toEqual([{ path: "limits.queued", message: "2 of 3 are in use" }]);
  expect(refused.headers.get("retry-after")).toBe("60");
  const never = await batch(4);
  expect([never.status, never.headers.get("retry-after")]).toEqual([429, null]);
  expect(never.json.error.message).toContain("send fewer rows at a time");
  expect((await api.call("/v1/limits", { headers })).json.queued).toEqual({ limit: 3, used: 2 });
});

test("a full pool is the system's fault: 503 queue_full, with the pace of that pool", async () => {
  await using api = await setup({ env: { COMFYQ_QUEUE_CAP: "1" } });
  await api.submit();
  const refused = await api.post("/v1/jobs", BODY);
  expect([refused.status, refused.json.error.code]).toEqual([503, "queue_full"]);
  expect(refused.headers.get("retry-after")).toBe("60"); // nothing has ended yet
});

test("through the door of Comfy API v2 a full queue and a reached limit are 429 queue_full, as its clients know it", async () => {
  await using api = await setup({ env: { COMFYQ_QUEUE_CAP: "1" } });
  await api.submit();
  const isFull = await api.post("/api/v2/jobs", BODY, { "idempotency-key": "00000000-0000-4000-8000-000000000001" });
  expect([isFull.status, isFull.json.error.code]).toEqual([429, "queue_full"]);
  await writeLimits(api, { v: 1, default: { queued: 1 } });
  await api.restart({ COMFYQ_QUEUE_CAP: "9" });
  const limited = await api.post("/api/v2/jobs", BODY, { "idempotency-key": "00000000-0000-4000-8000-000000000002" });
  expect([limited.status, limited.json.error.code]).toEqual([429, "queue_full"]);
  expect(limited.headers.get("retry-after")).toBe("60");
});

test("calls beyond requests_per_s get 429 whatever they ask for, and others go on", async () => {
  const { api, headers } = await limited({ v: 1, tenants: { acme: { requests_per_s: 0.02 } } });
  await using _ = api;
  expect((await api.call("/v1/jobs", { headers })).status).toBe(200);
  const refused = await api.call("/v1/limits", { headers });
  expect([refused.status, refused.json.error.code]).toEqual([429, "too_many_requests"]);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(40);
  expect((await api.call("/livez")).status).toBe(200);
});

test("a change of the limits file takes effect while the API runs; a broken one changes nothing and is told", async () => {
  const { api, headers } = await limited(acme({ queued: 1 }));
  await using _ = api;
  const most = async () => (await api.call("/v1/limits", { headers })).json.queued.limit;
  expect(await most()).toBe(1);
  await writeLimits(api, acme({ queued: 7 }));
  await vi.waitFor(async () => expect(await most()).toBe(7), { timeout: 10_000, interval: 100 });
  await writeLimits(api, acme({ qeued: 9 }));
  await vi.waitFor(() => expect(api.log()).toContain("limits stay as they were"), { timeout: 10_000, interval: 100 });
  expect(api.log()).toContain("qeued");
  expect(await most()).toBe(7);
});

test("a limits file that was named and is not there is missed, before anybody wonders why nobody is limited", async () => {
  await using api = await setup({ env: { COMFYQ_LIMITS_FILE: "/nowhere/limits.json" } });
  expect(api.log()).toContain("there is no limits file at COMFYQ_LIMITS_FILE: nobody is limited");
});

test("an API does not start with a limits file that cannot be taken, and says what is wrong with it", async () => {
  const { api } = await limited({ v: 1 });
  await using _ = api;
  await writeLimits(api, acme({ running: 0 }));
  await expect(api.restart()).rejects.toThrow(/limits\.json cannot be taken.*running must be at least 1$/s);
  await writeLimits(api, "{");
  await expect(api.restart()).rejects.toThrow(/limits\.json is no JSON/);
  await writeLimits(api, { v: 1 });
  await api.restart();
});
