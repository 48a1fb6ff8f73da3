import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jobFailure, WebhookEvent } from "@comfyq/contract";
import { openClaimer, queueDelivery } from "@comfyq/queue";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bearer, problem, setup, type TestApi, writeKeys } from "./setup.ts";

const OPERATOR_KEY = "operator-key-of-the-tests";
const MARKER = "MARKER-7d1f";
const BOARD = "/admin/queues";
const basic = (password: string) => ({
  authorization: `Basic ${Buffer.from(`anybody:${password}`).toString("base64")}`,
});

let api: TestApi;
beforeAll(async () => {
  api = await setup({ env: { COMFYQ_OPERATOR_KEY: OPERATOR_KEY } });
});
afterAll(() => api[Symbol.asyncDispose]());

const queuesOf = async (own: TestApi, active = "", headers: Record<string, string> = {}) =>
  (await own.call(`${BOARD}/api/queues?activeQueue=${active}&page=1&jobsPerPage=50&status=latest`, { headers })).json
    .queues as readonly {
    name: string;
    counts: Record<string, number>;
    jobs: { id: string }[];
    readOnlyMode: boolean;
  }[];

describe("Bull Board", () => {
  test("is a page that names only files of ours, and each of them is there", async () => {
    const page = await api.call(`${BOARD}/`);
    expect(page.status).toBe(200);
    const files = [...page.text.matchAll(/(?:src|href)="(static\/[^"]+)"/g)].map(([, file]) => `${BOARD}/${file}`);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) expect((await api.call(file)).status).toBe(200);
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/https?:/);
  });

  test("without its last slash it leads to itself", async () => {
    const answer = await api.call(BOARD);
    expect(answer.status).toBe(302);
    expect(answer.headers.get("location")).toBe(`${BOARD}/`);
  });

  test("shows a job's queue live, pools that come later included", async () => {
    const { id } = await api.submit({ pool: "later" });
    await expect
      .poll(async () => (await queuesOf(api, "jobs-later")).find(({ name }) => name === "jobs-later"), {
        timeout: 5_000,
      })
      .toMatchObject({ jobs: [{ id }], counts: { prioritized: 1 } });
    const held = await api.claim("later");
    expect((await queuesOf(api, "jobs-later")).find(({ name }) => name === "jobs-later")).toMatchObject({
      counts: { active: 1 },
    });
    await api.succeed(held);
    expect((await queuesOf(api)).map(({ name }) => name)).toEqual(
      expect.arrayContaining(["jobs-default", "jobs-later", "settlements", "deliveries", "answers", "schedules"]),
    );
  });

  test("never shows a word of a payload, a result, a reason or a URL's query", async () => {
    await using own = await setup({ env: { COMFYQ_OPERATOR_KEY: OPERATOR_KEY, COMFYQ_PREFIX: "marked" } });
    const body = {
      workflow: { "9": { class_type: "SaveImage", inputs: { text: MARKER } } },
      metadata: { secret: MARKER },
      inputs: { "9.inputs.image": `https://example.com/?token=${MARKER}` },
      webhook: { url: `https://example.com/hook?token=${MARKER}`, events: ["job.started" as const] },
    };
    const good = await own.submit(body);
    const value = { node_id: "9", name: "text", type: "value", value: MARKER } as const;
    await own.succeed(await own.claim(), { [`${MARKER}.png`]: "png" }, [value]);
    const bad = await own.submit(body);
    const failure = jobFailure("node_failed", `node 9 raised ${MARKER}`, { details: { MARKER } });
    await (await own.claim()).end({ kind: "failed", error: failure });
    const eventId = randomUUID();
    const event = WebhookEvent.parse({
      v: 1,
      id: eventId,
      type: "job.failed",
      timestamp: new Date().toISOString(),
      data: { job: await own.read(bad.id) },
    });
    const redisUrl = own.redis.url;
    const claimer = await openClaimer({
      redisUrl,
      prefix: "marked",
      pool: "default",
      workerId: "teller",
      instance: "i",
    });
    await queueDelivery(claimer.room, event, { tenant: "default", url: body.webhook.url, endpointId: null });
    await claimer.close();
    for (const headers of [{}, basic(OPERATOR_KEY)]) {
      const seen: string[] = [];
      for (const queue of ["jobs-default", "settlements", "deliveries", "answers", "schedules"]) {
        seen.push(JSON.stringify(await queuesOf(own, queue, headers)));
        for (const id of [good.id, bad.id, `${good.id}-started`, eventId])
          for (const part of ["", "/logs", "/flow?depth=3&maxChildren=10"])
            seen.push((await own.call(`${BOARD}/api/queues/${queue}/${id}${part}`, { headers })).text);
      }
      seen.push((await own.call(`${BOARD}/api/job-schedulers`, { headers })).text);
      const all = seen.join("\n");
      expect(all).toContain(good.id);
      expect(all).toContain("node_failed (workflow)");
      expect(all).toContain('"tenant":"default"');
      expect(all).not.toContain(MARKER);
      expect(all).toContain('"url":"https://example.com/hook?token=*"');
    }
  });

  test("changes nothing for whoever shows no operator key", async () => {
    for (const headers of [{}, basic("wrong-key-wrong-key"), bearer("wrong-key-wrong-key")]) {
      const answer = await api.call(`${BOARD}/api/queues/jobs-default/pause`, { method: "PUT", headers });
      expect(problem(answer)).toEqual({
        status: 403,
        code: "forbidden",
        message: "Bull Board is read-only without the operator key; open /admin/unlock first",
      });
    }
    expect(await queuesOf(api)).toMatchObject([{ readOnlyMode: true, isPaused: false }, {}, {}, {}, {}, {}, {}]);
  });

  test("pauses and resumes for an operator, from its own page only", async () => {
    const change = (what: string, headers: Record<string, string> = {}) =>
      api.call(`${BOARD}/api/queues/jobs-default/${what}`, {
        method: "PUT",
        headers: { ...basic(OPERATOR_KEY), ...headers },
      });
    expect((await change("pause", { origin: "https://evil.example" })).status).toBe(403);
    expect((await change("pause", { origin: api.url })).status).toBe(200);
    expect(await queuesOf(api)).toMatchObject([{ isPaused: true }, {}, {}, {}, {}, {}, {}]);
    expect((await change("resume")).status).toBe(200);
    expect(await queuesOf(api)).toMatchObject([{ isPaused: false }, {}, {}, {}, {}, {}, {}]);
  });

  test("leaves jobs to the API even for an operator: what it would break, it refuses", async () => {
    const { id } = await api.submit();
    const changes: readonly (readonly [string, string])[] = [
      ["PUT", "jobs-default/obliterate"],
      ["PUT", "jobs-default/empty"],
      ["PUT", "jobs-default/clean/failed"],
      ["PUT", "jobs-default/retry/failed"],
      ["PUT", `jobs-default/${id}/clean`],
      ["PUT", `jobs-default/${id}/retry`],
      ["PUT", `jobs-default/${id}/promote`],
      ["PATCH", `jobs-default/${id}/update-data`],
      ["POST", "jobs-default/add"],
      ["PUT", "settlements/obliterate"],
    ];
    for (const [method, path] of changes) {
      const answer = await api.call(`${BOARD}/api/queues/${path}`, { method, headers: basic(OPERATOR_KEY) });
      expect([path, answer.status]).toEqual([path, 403]);
    }
    expect((await api.read(id)).status).toBe("queued");
  });

  test("an errand's payload, shown redacted, cannot be saved so over what it needs", async () => {
    const changes: readonly (readonly [string, string])[] = [
      ["PATCH", `deliveries/${randomUUID()}/update-data`],
      ["POST", "deliveries/add"],
      ["PATCH", `answers/${randomUUID()}/update-data`],
    ];
    for (const [method, path] of changes) {
      const answer = await api.call(`${BOARD}/api/queues/${path}`, { method, headers: basic(OPERATOR_KEY) });
      expect([path, answer.status, answer.json.message]).toEqual([
        path,
        403,
        expect.stringContaining("would be saved so"),
      ]);
    }
    const emptied = await api.call(`${BOARD}/api/queues/deliveries/clean/completed`, {
      method: "PUT",
      headers: basic(OPERATOR_KEY),
    });
    expect(emptied.status).toBe(200);
  });

  test("an operator's page may change things, and a browser is asked for the key at /admin/unlock", async () => {
    expect((await queuesOf(api, "", basic(OPERATOR_KEY)))[0]?.readOnlyMode).toBe(false);
    const asked = await api.call("/admin/unlock");
    expect(asked.status).toBe(401);
    expect(asked.headers.get("www-authenticate")).toContain("Basic realm=");
    expect((await api.call("/admin/unlock", { headers: basic(OPERATOR_KEY) })).headers.get("location")).toBe(BOARD);
  });
});

describe("Bull Board where keys are needed", () => {
  test("no route shows anything without an operator key or a key with the scope admin", async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "comfyq-board-"));
    const [admin = "", reader = ""] = await writeKeys(join(dataDir, "keys.json"), [
      { tenant: "a", scopes: ["admin"] },
      { tenant: "a", scopes: ["submit", "read", "cancel"] },
    ]);
    try {
      await using own = await setup({ dataDir, env: { COMFYQ_OPERATOR_KEY: OPERATOR_KEY } });
      const paths = [
        "",
        "/",
        "/api/queues",
        "/api/redis/stats",
        "/queue/jobs-default",
        "/static/js/main.js",
        "/api/queues/x/y",
      ];
      for (const path of paths)
        for (const headers of [{}, bearer(reader), basic(reader), basic("wrong-key-wrong-key")]) {
          const answer = await own.call(BOARD + path, { headers });
          if (path === "" && answer.status === 302) continue; // leads to the page, which asks
          expect([path, answer.status]).toEqual([path, 401]);
          expect(answer.headers.get("www-authenticate")).toContain("Basic realm=");
        }
      for (const headers of [basic(OPERATOR_KEY), bearer(OPERATOR_KEY), basic(admin), bearer(admin)])
        expect((await own.call(`${BOARD}/`, { headers })).status).toBe(200);
      const change = (origin: string) =>
        own.call(`${BOARD}/api/queues/jobs-default/resume`, { method: "PUT", headers: { ...basic(admin), origin } });
      expect(problem(await change("https://evil.example"))).toMatchObject({ status: 403, code: "forbidden" });
      expect((await change(own.url)).status).toBe(200);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});
