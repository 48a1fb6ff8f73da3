import { randomUUID } from "node:crypto";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SCOPES, type Scope, type WebhookEvent } from "@comfyq/contract";
import { openClaimer, queueDelivery } from "@comfyq/queue";
import { type PrivateRedis, startPrivateRedis } from "@comfyq/queue/testing";
import { createLogger, readEnv } from "@comfyq/runtime";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ApiEnv } from "../src/config.ts";
import type { Rooms } from "../src/rooms.ts";
import { allRoutes } from "../src/routes/index.ts";
import { startApi } from "../src/startApi.ts";
import { type Answer, bearer, GRAPH, problem, setup, type TestApi, writeKeys } from "./setup.ts";

let redis: PrivateRedis;
const folders: string[] = [];
const newFolder = async () => {
  folders.push(await mkdtemp(join(tmpdir(), "comfyq-keys-")));
  return folders.at(-1) ?? "";
};
beforeAll(async () => {
  redis = await startPrivateRedis();
});
afterAll(async () => {
  await redis.close();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** Every route there is, without anything behind it: only what it says of itself is looked at. */
const ROUTES = allRoutes({ settings: { COMFYQ_DATA_DIR: "." } } as Rooms).filter(({ scope }) => scope !== "open");
const UNKNOWN = "01a2015c-011f-7a09-a25c-000000000000";

const PREFIX = "access";

/** The same of whatever door: some call the code a type. */
function refusal({ status, json }: Answer): ReturnType<typeof problem> {
  const { code, type, message } = json.error ?? json;
  return { status, code: code ?? type, message };
}

/** What a path may name. */
interface Ids {
  readonly job: string;
  readonly asset: string;
  readonly upload: string;
  readonly endpoint: string;
  readonly schedule: string;
  readonly batch: string;
  readonly delivery: string;
}

describe("every route", () => {
  let api: TestApi;
  let keys: Readonly<Record<"own" | "foreign" | `without ${Scope}`, string>>;
  let ids: Ids;
  beforeAll(async () => {
    const dataDir = await newFolder();
    const lacking = SCOPES.map((scope) => ({ tenant: "own", scopes: SCOPES.filter((other) => other !== scope) }));
    const texts = await writeKeys(join(dataDir, "keys.json"), [
      { tenant: "own", scopes: SCOPES },
      { tenant: "foreign", scopes: SCOPES },
      ...lacking,
    ]);
    const names = ["own", "foreign", ...SCOPES.map((scope) => `without ${scope}`)];
    keys = Object.fromEntries(names.map((name, at) => [name, texts[at]])) as typeof keys; // the names of its type
    api = await setup({ redis, dataDir, env: { COMFYQ_PREFIX: PREFIX } });
    ids = {
      job: await endedJob(),
      asset: await newAsset(),
      upload: await newUpload(),
      endpoint: await newEndpoint(),
      schedule: await newSchedule(),
      batch: await newBatch(),
      delivery: await newDelivery(),
    };
  });
  afterAll(() => api[Symbol.asyncDispose]());

  async function endedJob(): Promise<string> {
    const { id } = await api.submit({ metadata: { icu_workflow_id: "wf" } }, bearer(keys.own));
    await api.succeed(await api.claim(), { "a.png": "png" });
    return id;
  }

  async function newAsset(): Promise<string> {
    const form = new FormData();
    form.set("file", new Blob([`own bytes ${Math.random()}`]), "own.txt");
    return (await api.call("/v1/assets", { method: "POST", body: form, headers: bearer(keys.own) })).json.id;
  }

  async function newBatch(): Promise<string> {
    const wish = { workflow: GRAPH, rows: [{ "3.inputs.width": 8 }], pool: "nobody" };
    return (await api.post("/v1/batches", wish, bearer(keys.own))).json.id;
  }

  async function newEndpoint(): Promise<string> {
    return (await api.post("/v1/webhooks", { url: "https://example.com/" }, bearer(keys.own))).json.id;
  }

  async function newUpload(): Promise<string> {
    const wish = { name: "own.txt", size_bytes: 3 };
    const { json } = await api.post("/v1/assets/uploads", wish, bearer(keys.own));
    await fetch(json.url, { method: json.method, headers: json.headers, body: "own" });
    return json.id;
  }

  async function newDelivery(): Promise<string> {
    const claimer = await openClaimer({
      redisUrl: redis.url,
      prefix: PREFIX,
      pool: "default",
      workerId: "teller",
      instance: "i",
    });
    const event = { v: 1, id: randomUUID(), type: "job.failed", data: { job: { id: UNKNOWN } } } as WebhookEvent; // enough to queue
    await queueDelivery(claimer.room, event, { tenant: "own", url: "http://127.0.0.1/", endpointId: null });
    await claimer.close();
    return event.id;
  }

  /** Named like a job, so that answers about it can be compared like those. */
  async function newSchedule(): Promise<string> {
    const name = UNKNOWN.replace(/0+$/, String(Math.random()).slice(2, 14).padEnd(12, "1"));
    const body = JSON.stringify({ cron: "0 0 * * *", job: { workflow: GRAPH } });
    const headers = { ...bearer(keys.own), "content-type": "application/json" };
    await api.call(`/v1/schedules/${name}`, { method: "PUT", headers, body });
    return name;
  }

  const addressed = ROUTES.filter(
    ({ path, method }) => path.includes("{id}") || (path.startsWith("/v1/schedules/") && method !== "put"),
  );
  const pathOf = (path: string, wanted: Ids) => {
    if (path.startsWith("/v1/schedules/")) return path.replace("{name}", wanted.schedule);
    const kinds = {
      "/v1/assets/uploads": wanted.upload,
      "/v1/assets": wanted.asset,
      "/api/v2/assets": wanted.asset,
      "/v1/webhooks": wanted.endpoint,
      "/v1/batches": wanted.batch,
      "/v1/deliveries": wanted.delivery,
    };
    const [, id = wanted.job] = Object.entries(kinds).find(([start]) => path.startsWith(start)) ?? [];
    const hash = `blake3:${"0".repeat(64)}`;
    return path.replace("{id}", id).replace("{name}", "a.png").replace("{hash}", hash).replace("{workflow_id}", "wf");
  };
  const ask = (method: string, path: string, headers: Record<string, string>) =>
    method === "put"
      ? api.call(path, { method: "PUT", headers: { ...headers, "content-type": "application/json" }, body: "{}" })
      : api.call(path, { method: method.toUpperCase(), headers });

  test.each(ROUTES)("$method $path refuses whoever has no key, or a wrong one", async ({ method, path }) => {
    const address = pathOf(path, ids);
    const without = await ask(method, address, {});
    const message = "This call needs an API key; send it as Authorization: Bearer <key>";
    if (method === "head") expect(without.status).toBe(401);
    else expect(refusal(without)).toEqual({ status: 401, code: "unauthorized", message });
    const inQuery = await ask(method, `${address}?api_key=${keys.own}`, {});
    expect(inQuery.status).toBe(401);
    expect(inQuery.headers.get("www-authenticate")).toBe("Bearer");
  });

  test.each(ROUTES)("$method $path refuses a key without its scope", async ({ method, path, scope }) => {
    const key = keys[`without ${scope as Scope}`]; // open routes were left out
    const has = SCOPES.filter((other) => other !== scope).join(", ");
    const lacking = await ask(method, pathOf(path, ids), bearer(key));
    const message = `Your API key lacks the scope "${scope}"; it has: ${has}; ask the operator for one with that scope`;
    if (method === "head") expect(lacking.status).toBe(403);
    else expect(refusal(lacking)).toEqual({ status: 403, code: "forbidden", message });
  });

  test.each(addressed)("$method $path answers somebody else's as unknown, to the letter", async ({ method, path }) => {
    const foreign = await ask(method, pathOf(path, ids), bearer(keys.foreign));
    const unknown = await ask(
      method,
      pathOf(path, {
        job: UNKNOWN,
        asset: UNKNOWN,
        upload: UNKNOWN,
        endpoint: UNKNOWN,
        schedule: UNKNOWN,
        batch: UNKNOWN,
        delivery: UNKNOWN,
      }),
      bearer(keys.own),
    );
    expect(foreign.status).toBe(404);
    expect(unknown.status).toBe(404);
    const anonymous = (text: string) => text.replaceAll(/[0-9a-f-]{36}/g, "ID");
    expect(anonymous(foreign.text)).toBe(anonymous(unknown.text));
    const names = (headers: Headers) => [...headers.keys()].sort();
    expect(names(foreign.headers)).toEqual(names(unknown.headers));
    const nonsense = await ask(method, path.replace("{id}", "..%2f..").replace("{name}", "x"), bearer(keys.own));
    expect(nonsense.status).toBe(404);
  });

  test.each(addressed)("$method $path serves its owner", async ({ method, path }) => {
    // Canceling an ended job is a conflict, which only its owner is told; Comfy API v2 answers with the job.
    const isConflict = path.startsWith("/v1/jobs/") && path.endsWith("/cancel");
    // A batch that has just been canceled may still have jobs to end before it can be retried.
    const mayConflict = path === "/v1/batches/{id}/retry" ? [409] : [];
    const wanted = isConflict ? [409] : method === "delete" ? [204] : [200, 201, 202, ...mayConflict];
    for (const headers of [bearer(keys.own), { "x-api-key": keys.own }]) {
      const fresh = async () => ({
        asset: await newAsset(),
        endpoint: await newEndpoint(),
        schedule: await newSchedule(),
      });
      const own = { ...ids, ...(method === "delete" && (await fresh())) };
      expect(wanted).toContain((await ask(method, pathOf(path, own), headers)).status);
    }
  });

  test("the lists of one tenant hold nothing of another's, and equal bytes and equal keys are not shared", async () => {
    const submit = (key: string) =>
      api.post("/v1/jobs", { workflow: GRAPH, tags: ["shared"] }, { ...bearer(key), "idempotency-key": "same" });
    const [own, foreign] = [await submit(keys.own), await submit(keys.foreign)];
    expect(own.json.id).not.toBe(foreign.json.id);
    const listed = await api.call("/v1/jobs?tag=shared", { headers: bearer(keys.foreign) });
    expect(listed.json.jobs.map((job: { id: string }) => job.id)).toEqual([foreign.json.id]);
    const form = new FormData();
    form.set("file", new Blob(["own bytes"]), "own.txt");
    const asset = await api.call("/v1/assets", { method: "POST", body: form, headers: bearer(keys.foreign) });
    expect(asset.status).toBe(201);
    expect(asset.json.id).not.toBe(ids.asset);
    const body = { workflow: GRAPH, inputs: { "3.inputs.image": `asset:${ids.asset}` } };
    expect(problem(await api.post("/v1/jobs", body, bearer(keys.foreign))).code).toBe("missing_asset");
    const secrets = await Promise.all(
      [keys.own, keys.foreign].map((key) => api.call("/v1/webhooks/secret", { headers: bearer(key) })),
    );
    expect(secrets[0]?.json.secret).toMatch(/^whsec_/);
    expect(secrets[0]?.json.secret).not.toBe(secrets[1]?.json.secret);
  });

  test("no key is ever logged", () => {
    expect(api.log()).toContain("request answered");
    for (const key of Object.values(keys)) expect(api.log()).not.toContain(key);
  });
});

describe("keys", () => {
  test("a new key opens and a removed one does not, without a restart", async () => {
    const dataDir = await newFolder();
    const path = join(dataDir, "keys.json");
    const [old = ""] = await writeKeys(path, [{ tenant: "a", scopes: ["read"] }]);
    await using api = await setup({ redis, dataDir });
    expect((await api.call("/v1/jobs", { headers: bearer(old) })).status).toBe(200);
    const [fresh = ""] = await writeKeys(path, [{ tenant: "a", scopes: ["read"] }]);
    await utimes(path, new Date(), new Date(Date.now() + 5_000));
    // Seldom: a key that is not known yet is a wrong one, and twenty of those a minute are all that is heard.
    const look = { interval: 500, timeout: 9_000 };
    await expect.poll(async () => (await api.call("/v1/jobs", { headers: bearer(fresh) })).status, look).toBe(200);
    expect((await api.call("/v1/jobs", { headers: bearer(old) })).status).toBe(401);
  });

  test("deleting or breaking the file does not open the door", async () => {
    const dataDir = await newFolder();
    const path = join(dataDir, "keys.json");
    const [key = ""] = await writeKeys(path, [{ tenant: "a", scopes: ["read"] }]);
    await using api = await setup({ redis, dataDir });
    await writeFile(path, "{ broken");
    await vi.waitFor(async () => {
      await api.call("/v1/jobs");
      expect(api.log()).toContain("keys file could not be read");
    }, 5_000);
    expect((await api.call("/v1/jobs", { headers: bearer(key) })).status).toBe(200);
    await rm(path);
    await expect
      .poll(async () => (await api.call("/v1/jobs", { headers: bearer(key) })).status, { timeout: 5_000 })
      .toBe(401);
    expect((await api.call("/v1/jobs")).status).toBe(401);
  });

  test("an expired key is told so", async () => {
    const dataDir = await newFolder();
    const wish = { tenant: "a", scopes: ["read"], expiresAt: "2020-01-01T00:00:00Z" } as const;
    const [key = ""] = await writeKeys(join(dataDir, "keys.json"), [wish]);
    await using api = await setup({ redis, dataDir });
    expect(problem(await api.call("/v1/jobs", { headers: bearer(key) }))).toEqual({
      status: 401,
      code: "unauthorized",
      message: "This API key has expired; ask for a new one",
    });
  });

  test("whoever guesses is slowed down, and whoever has shown a right key before is not", async () => {
    const dataDir = await newFolder();
    const [used = "", unused = ""] = await writeKeys(join(dataDir, "keys.json"), [
      { tenant: "a", scopes: ["read"] },
      { tenant: "b", scopes: ["read"] },
    ]);
    await using api = await setup({ redis, dataDir });
    const status = async (key: string) => (await api.call("/v1/jobs", { headers: bearer(key) })).status;
    expect(await status(used)).toBe(200);
    const guesses = await Promise.all(Array.from({ length: 20 }, (_, at) => status(`cq_live_guess${at}`)));
    expect(new Set(guesses)).toEqual(new Set([401]));
    const stopped = await api.call("/v1/jobs", { headers: bearer("cq_live_guess21") });
    expect(problem(stopped)).toMatchObject({ status: 429, code: "too_many_requests" });
    expect(Number(stopped.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await status(unused)).toBe(429);
    expect(await status(used)).toBe(200);
  });
});

describe("who may reach the API", () => {
  const start = (env: Record<string, string>) =>
    startApi(
      readEnv(ApiEnv, { env: { REDIS_URL: redis.url, COMFYQ_PORT: "0", ...env } }),
      createLogger({ name: "api", level: "silent" }),
    );

  test.each(["0.0.0.0", "::", "192.0.2.1"])("bound to %s it refuses to start without a key", async (host) => {
    const dataDir = await newFolder();
    const started = start({ COMFYQ_HOST: host, COMFYQ_DATA_DIR: dataDir });
    await expect(started).rejects.toThrow(
      /can be reached by others, and there is no API key in .*keys\.json; make one/,
    );
  });

  test("bound to every address it starts with a key, and asks for it", async () => {
    const dataDir = await newFolder();
    await writeKeys(join(dataDir, "keys.json"), [{ tenant: "a", scopes: ["read"] }]);
    const api = await start({ COMFYQ_HOST: "0.0.0.0", COMFYQ_DATA_DIR: dataDir });
    const url = api.url.replace("0.0.0.0", "127.0.0.1");
    const statuses = [(await fetch(`${url}/v1/jobs`)).status, (await fetch(`${url}/livez`)).status];
    await api.close(AbortSignal.abort());
    expect(statuses).toEqual([401, 200]);
  });

  test("keys that cannot be read keep it from starting", async () => {
    const dataDir = await newFolder();
    await writeFile(join(dataDir, "keys.json"), "{}");
    await expect(start({ COMFYQ_DATA_DIR: dataDir })).rejects.toThrow(/keys file .* cannot be read/);
  });

  test("without keys, other host names and pages of other origins are refused", async () => {
    await using api = await setup({ redis, env: { COMFYQ_PUBLIC_URL: "https://queue.example.com" } });
    const { port } = new URL(api.url);
    // fetch sets Host itself
    const statusFor = (method: string, headers: Record<string, string>) =>
      new Promise<number | undefined>((resolve, reject) => {
        const sent = request({ host: "127.0.0.1", port, method, path: "/v1/jobs", headers }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        });
        sent.on("error", reject).end();
      });
    expect(await statusFor("GET", { host: "evil.example" })).toBe(403);
    expect(await statusFor("GET", { host: "127.0.0.1.evil.example" })).toBe(403);
    expect(await statusFor("GET", { host: `localhost:${port}` })).toBe(200);
    expect(await statusFor("GET", { host: `[::1]:${port}` })).toBe(200);
    expect(await statusFor("GET", { host: "queue.example.com" })).toBe(200);
    const host = `127.0.0.1:${port}`;
    expect(await statusFor("POST", { host, origin: "https://evil.example" })).toBe(403);
    expect(await statusFor("POST", { host, origin: "null" })).toBe(403);
    expect(await statusFor("POST", { host, "sec-fetch-site": "cross-site" })).toBe(403);
    expect(await statusFor("POST", { host, origin: `http://${host}` })).toBe(400); // let in, and told of its empty body
  });
});
