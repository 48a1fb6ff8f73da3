import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answer, bearer, GRAPH, problem, setup, type TestApi, writeKeys } from "./setup.ts";

let api: TestApi;
beforeAll(async () => {
  api = await setup();
});
afterAll(() => api[Symbol.asyncDispose]());

const JOB = { workflow: GRAPH, tags: ["daily"] };
const DAILY = { cron: "30 2 * * *", time_zone: "Europe/Berlin", job: JOB };

function put(name: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const init = {
    method: "PUT",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  };
  return api.call(`/v1/schedules/${name}`, init);
}
const show = (name: string) => api.call(`/v1/schedules/${name}`);

/** What is wrong with a schedule: path → message. */
async function faultsOf(body: unknown): Promise<Record<string, string>> {
  const { status, json } = await put("faulty", body);
  expect(status).toBe(422);
  expect((await show("faulty")).status).toBe(404);
  return Object.fromEntries(
    json.error.details.map((fault: { path: string; message: string }) => [fault.path, fault.message]),
  );
}

describe("PUT /v1/schedules/{name}", () => {
  test("makes a schedule and shows it whole: its defaults, its template, its next ten moments", async () => {
    const { status, json } = await put("daily", DAILY);
    expect(status).toBe(201);
    expect(json).toMatchObject({
      name: "daily",
      state: "active",
      ...DAILY,
      overlap: "allow",
      catch_up: "last",
      fired: 0,
    });
    expect(json.next_at).toHaveLength(10);
    expect(json).toMatchObject({ last_tick: null, open_jobs: [], paused_at: null, consecutive_failures: 0 });
    expect((await show("daily")).json).toEqual(json);
  });

  test("the same body again, in whatever order, changes nothing; another one changes it and keeps its id", async () => {
    const { json: first } = await put("twice", DAILY);
    const again = await put("twice", {
      job: { tags: ["daily"], workflow: GRAPH },
      time_zone: "Europe/Berlin",
      cron: "30 2 * * *",
    });
    expect([again.status, again.json]).toEqual([200, first]);
    const changed = await put("twice", { ...DAILY, cron: "0 3 * * *" });
    expect(changed.status).toBe(200);
    expect(changed.json).toMatchObject({ id: first.id, created_at: first.created_at, cron: "0 3 * * *" });
    expect(changed.json.updated_at).not.toBe(first.updated_at);
  });

  test("deleted and made anew, it is another one", async () => {
    const { json: first } = await put("reborn", DAILY);
    expect((await api.call("/v1/schedules/reborn", { method: "DELETE" })).status).toBe(204);
    expect((await show("reborn")).status).toBe(404);
    expect((await put("reborn", DAILY)).json.id).not.toBe(first.id);
  });

  test.each([
    ["30 25 * * *", 'has "25" as its hour; it takes 0 to 23'],
    ["61 * * * *", 'has "61" as its minute; it takes 0 to 59'],
    ["* * * *", "has 4 fields; it takes 5 (minute hour day month weekday) or 6 (second first)"],
    ["0 0 * * FRY", 'has "FRY" as its day of the week; it takes 0 to 7 or SUN to SAT'],
    ["0 0 0 * *", 'has "0" as its day of the month; it takes 1 to 31'],
    ["0 22-5 * * *", 'has "22-5" as its hour; its range runs backwards; write two, such as 22-23,0-5'],
    ["*/0 * * * *", 'has "*/0" as its minute; its step must be a whole number from 1'],
    ["H * * * *", 'has "H" as its minute; it takes 0 to 59'],
    ["@dayly", '"@dayly" is not known; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly'],
    ["0 0 30 2 *", "names a day that no calendar has; nothing would ever fire"],
  ])("refuses the cron %s and says what is wrong with it", async (cron, message) => {
    expect(await faultsOf({ ...DAILY, cron })).toEqual({ cron: message });
  });

  test("refuses a time zone that is unknown, and guesses the one that is meant", async () => {
    const zone = async (time_zone: string) => (await faultsOf({ ...DAILY, time_zone }))["time_zone"];
    expect(await zone("Europe/Berln")).toContain("did you mean Europe/Berlin?");
    expect(await zone("New York")).toContain("did you mean America/New_York?");
    expect(await zone("Middle-Earth/Hobbiton")).toContain("is no time zone that is known here");
  });

  test("refuses what contradicts itself, and what it does not know", async () => {
    expect(await faultsOf({ job: JOB })).toEqual({ cron: "is missing; give cron or every_s" });
    expect(await faultsOf({ ...DAILY, every_s: 60 })).toEqual({ every_s: "stands beside cron; give one of the two" });
    expect(await faultsOf({ ...DAILY, start_at: "2027-01-02T00:00:00Z", end_at: "2027-01-01T00:00:00Z" })).toEqual({
      end_at: "is before start_at; nothing would ever fire",
    });
    expect(Object.keys(await faultsOf({ ...DAILY, overlapp: "skip" }))).toEqual(["overlapp"]);
    expect(await faultsOf({ ...DAILY, overlap: "queue" })).toMatchObject({
      overlap: expect.stringContaining("queue_one"),
    });
    expect(Object.keys(await faultsOf({ cron: "* * * * *" }))).toEqual(["job"]);
    expect(problem(await put("Not_A_Name", DAILY)).code).toBe("invalid_request");
  });

  test("judges the job as if it were submitted now, by its paths below job", async () => {
    expect(Object.keys(await faultsOf({ ...DAILY, job: { ...JOB, params: { "77.inputs.text": "a" } } }))).toEqual([
      "job.params.77.inputs.text",
    ]);
    expect(Object.keys(await faultsOf({ ...DAILY, job: { ...JOB, priorty: 1 } }))).toEqual(["job.priorty"]);
    const asset = { "3.inputs.image": "asset:01a2015c-011f-7a09-a25c-000000000000" };
    expect(Object.keys(await faultsOf({ ...DAILY, job: { ...JOB, inputs: asset } }))).toEqual([
      "job.inputs.3.inputs.image",
    ]);
    expect(await faultsOf({ ...DAILY, job: { ...JOB, run_at: "2027-01-01T00:00:00Z" } })).toEqual({
      "job.run_at": "is what the schedule says; leave it out",
    });
    const graph = { ...GRAPH, "9": { class_type: "SaveImage", inputs: { filename_prefix: "{{tick.day}}" } } };
    expect(await faultsOf({ ...DAILY, job: { workflow: graph } })).toEqual({
      "job.workflow.9.inputs.filename_prefix": expect.stringContaining("has {{tick.day}}, which nothing fills"),
    });
  });

  test("keeps the template as it was written, with its places and random seeds, and no secret of it in the clear", async () => {
    const seeded = { ...GRAPH, "3": { class_type: "EmptyImage", inputs: { seed: "random", color: "{{tick.seed}}" } } };
    const webhook = { url: "https://example.com/hook", headers: { Authorization: "Bearer very-secret-word" } };
    const job = { workflow: seeded, webhook, secrets: { api_key_comfy_org: "very-secret-word" } };
    const { json, text } = await put("secretive", { ...DAILY, job });
    expect(json.job).toEqual({ workflow: seeded, webhook: { url: "https://example.com/hook" } });
    expect(text).not.toContain("very-secret-word");
    expect(await api.redis.everWritten()).not.toContain("very-secret-word");
    expect(api.log()).not.toContain("very-secret-word");
    const again = await put("secretive", { ...DAILY, job });
    expect(again.json.updated_at).toBe(json.updated_at);
    const other = await put("secretive", { ...DAILY, job: { ...job, secrets: { api_key_comfy_org: "another" } } });
    expect(other.json.updated_at).not.toBe(json.updated_at);
  });

  test("a data: URI goes to the store, and its asset stays for as long as the schedule does", async () => {
    const data = `data:image/png;base64,${Buffer.alloc(3_000, Math.random().toString()).toString("base64")}`;
    const { json } = await put("pictured", { ...DAILY, job: { ...JOB, inputs: { "3.inputs.image": data } } });
    const { url } = json.job.inputs["3.inputs.image"];
    expect(url).toMatch(/^asset:/);
    const remove = () => api.call(`/v1/assets/${url.slice("asset:".length)}`, { method: "DELETE" });
    expect(problem(await remove())).toMatchObject({ status: 409, code: "asset_in_use" });
    await put("pictured", DAILY); // names it no more
    await put("pictured", { ...DAILY, job: { ...JOB, inputs: { "3.inputs.image": url } } });
    expect((await remove()).status).toBe(409);
    await api.call("/v1/schedules/pictured", { method: "DELETE" });
    expect((await remove()).status).toBe(204);
  });
});

test("paused, it has no moments before it; resumed, it has them again; both are safe to repeat", async () => {
  await put("resting", DAILY);
  const ask = (wish: string) => api.post(`/v1/schedules/resting/${wish}`, {});
  const paused = (await ask("pause")).json;
  expect(paused).toMatchObject({ state: "paused", paused_at: expect.any(String), next_at: [] });
  expect((await ask("pause")).json).toEqual(paused);
  expect((await ask("resume")).json).toMatchObject({ state: "active", paused_at: null });
  expect((await ask("resume")).json.next_at).toHaveLength(10);
});

test("run now makes a job at once, once under each key, and the history names it", async () => {
  await put("on-demand", {
    cron: "0 0 29 2 *",
    job: { ...JOB, metadata: { day: "{{tick.date}}", n: "{{tick.count}}" } },
  });
  const run = (headers: Record<string, string>) => api.post("/v1/schedules/on-demand/run", {}, headers);
  const first = await run({ "idempotency-key": "a" });
  expect(first.status).toBe(201);
  expect(first.json).toMatchObject({ status: "queued", schedule: { name: "on-demand" }, tags: ["daily"] });
  expect(first.json.metadata).toEqual({ day: first.json.schedule.tick_at.slice(0, 10), n: 1 });
  const again = await run({ "idempotency-key": "a" });
  expect([again.json.id, again.headers.get("idempotency-replayed")]).toEqual([first.json.id, "true"]);
  const second = await run({ "idempotency-key": "b" });
  const third = await run({});
  const ids = [first, second, third].map(({ json }) => json.id);
  expect(new Set(ids).size).toBe(3);
  const { json } = await api.call("/v1/schedules/on-demand/ticks");
  expect(json.ticks.map((tick: { job_id: string }) => tick.job_id)).toEqual(expect.arrayContaining(ids));
  expect(json.ticks[0]).toMatchObject({ trigger: "run_now", outcome: "job", reason: null });
  expect((await show("on-demand")).json).toMatchObject({ fired: 0, last_tick: { trigger: "run_now" } });
});

test("lists go on page by page, schedules by name and ticks from the newest", async () => {
  await using own = await setup({ redis: api.redis });
  const write = (name: string) =>
    own.call(`/v1/schedules/${name}`, {
      method: "PUT",
      body: JSON.stringify(DAILY),
      headers: { "content-type": "application/json" },
    });
  for (const name of ["c", "a", "e", "b", "d"]) await write(name);
  const walk = async (path: string, field: string) => {
    const pages: string[][] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const { json } = await own.call(`${path}?limit=2${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
      pages.push(json[field].map((each: { name?: string; job_id?: string }) => each.name ?? each.job_id));
      cursor = json.next_cursor;
    }
    return pages;
  };
  expect(await walk("/v1/schedules", "schedules")).toEqual([["a", "b"], ["c", "d"], ["e"]]);
  const ids: string[] = [];
  for (let n = 0; n < 5; n += 1) ids.push((await own.post("/v1/schedules/a/run", {})).json.id);
  expect((await walk("/v1/schedules/a/ticks", "ticks")).flat()).toEqual(ids.toReversed());
});

test("a tenant sees, runs and changes its own schedules only, also when others have one of the same name", async () => {
  await using own = await setup({ redis: api.redis });
  const [a = "", b = ""] = await writeKeys(`${own.dataDir}/keys.json`, [
    { tenant: "a", scopes: ["submit", "read"] },
    { tenant: "b", scopes: ["submit", "read"] },
  ]);
  await own.restart();
  const as = (key: string, method: string, path: string, body?: unknown) =>
    own.call(`/v1/schedules${path}`, {
      method,
      headers: { ...bearer(key), "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  expect((await as(a, "PUT", "/mine", DAILY)).status).toBe(201);
  const asked = [
    ["GET", ""],
    ["DELETE", ""],
    ["POST", "/pause"],
    ["POST", "/resume"],
    ["POST", "/run"],
    ["GET", "/ticks"],
  ] as const;
  for (const [method, rest] of asked) {
    const foreign = await as(b, method, `/mine${rest}`);
    const unknown = await as(b, method, `/nobodys${rest}`);
    expect([method, rest, foreign.status]).toEqual([method, rest, 404]);
    expect(foreign.text.replaceAll("mine", "NAME")).toBe(unknown.text.replaceAll("nobodys", "NAME"));
  }
  expect((await as(b, "GET", "")).json.schedules).toEqual([]);
  const theirs = await as(b, "PUT", "/mine", { ...DAILY, cron: "0 4 * * *" });
  expect(theirs.status).toBe(201);
  expect((await as(a, "GET", "/mine")).json).toMatchObject({ cron: "30 2 * * *", state: "active" });
  await as(b, "DELETE", "/mine");
  expect((await as(a, "GET", "/mine")).status).toBe(200);
});
