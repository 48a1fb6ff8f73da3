import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JobErrorCode, jobFailure } from "@comfyq/contract";
import { openClaimer } from "@comfyq/queue";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Answer, bearer, problem, setup, type TestApi, writeKeys } from "./setup.ts";

/** Submits a job and lets it fail. @returns its id */
async function fail(api: TestApi, code: JobErrorCode, body: Parameters<TestApi["submit"]>[0] = {}): Promise<string> {
  const { id } = await api.submit(body);
  const held = await api.claim(body.pool);
  expect(held.id).toBe(id);
  await held.end({ kind: "failed", error: jobFailure(code, "it went wrong") });
  return id;
}

const retry = (api: TestApi, body: unknown = {}, headers: Record<string, string> = {}) =>
  api.post("/v1/jobs/retry", body, headers);

async function idsOf(api: TestApi, query: string): Promise<string[]> {
  const { json } = await api.call(`/v1/jobs?limit=100&${query}`);
  return json.jobs.map(({ id }: { id: string }) => id);
}

interface Pair {
  readonly from: string;
  readonly to: string | null;
  readonly replayed: boolean;
}

const pairs = (answer: Answer): Pair[] => answer.json.retried;
const froms = (answer: Answer) => pairs(answer).map(({ from }) => from);

describe("failed jobs", () => {
  test("are listed by their error code, and by when they were made", async () => {
    await using api = await setup();
    const poison = await fail(api, "poison");
    const lost = await fail(api, "prompt_lost");
    await api.submit();
    expect(await idsOf(api, "status=failed&code=poison")).toEqual([poison]);
    expect(await idsOf(api, "code=prompt_lost")).toEqual([lost]);
    expect(await idsOf(api, "code=timeout")).toEqual([]);
    const { created_at } = await api.read(lost);
    expect(await idsOf(api, `status=failed&created_after=${created_at}`)).toEqual([lost]);
    expect(await idsOf(api, `created_before=${created_at}`)).toEqual([poison]);
    expect(problem(await api.call("/v1/jobs?code=poisson"))).toMatchObject({ status: 422, code: "invalid_request" });
  });

  test("as poison are counted by the doctor, who says how to see them", async () => {
    await using api = await setup();
    const checkOf = async () => {
      const { json } = await api.call("/v1/doctor");
      return json.checks.find(({ name }: { name: string }) => name === "poison");
    };
    expect(await checkOf()).toMatchObject({ state: "ok" });
    await fail(api, "poison");
    expect(await checkOf()).toMatchObject({
      state: "warn",
      found: expect.stringMatching(/^1 /),
      advice: expect.stringContaining("--code poison"),
    });
  });
});

describe("retrying many", () => {
  test("makes a new job of each that matches, from the same input, and of no other", async () => {
    await using api = await setup();
    const workflow = { "9": { class_type: "SaveImage", inputs: { filename_prefix: "mine" } } };
    const lost = await fail(api, "prompt_lost", { workflow, tags: ["red"], priority: 3 });
    const node = await fail(api, "node_failed", { tags: ["red"] });
    const answer = await retry(api, { code: "prompt_lost" });
    expect(answer).toMatchObject({ status: 200, json: { matched: 1, next_cursor: null } });
    expect(pairs(answer)).toMatchObject([{ from: lost, code: "prompt_lost", replayed: false }]);
    const id = String(pairs(answer)[0]?.to);
    expect(await api.read(id)).toMatchObject({ status: "queued", tags: ["red"], priority: 3 });
    expect((await api.claim()).request.workflow).toEqual(workflow);
    expect(await api.read(lost)).toMatchObject({ status: "failed" });
    expect(await idsOf(api, "")).toEqual([id, node, lost]);
  });

  test("chooses by status, tag, pool and moment", async () => {
    await using api = await setup();
    const red = await fail(api, "timeout", { tags: ["red"] });
    const big = await fail(api, "timeout", { pool: "big" });
    const canceled = await api.submit();
    await api.post(`/v1/jobs/${canceled.id}/cancel`, "");
    const matches = async (body: object) => froms(await retry(api, { ...body, dry_run: true }));
    expect(await matches({})).toEqual([big, red]);
    expect(await matches({ tag: "red" })).toEqual([red]);
    expect(await matches({ pool: "big" })).toEqual([big]);
    expect(await matches({ status: "canceled" })).toEqual([canceled.id]);
    expect(await matches({ status: "expired" })).toEqual([]);
    const { created_at } = await api.read(big);
    expect(await matches({ created_after: created_at })).toEqual([big]);
    expect(await matches({ created_before: created_at })).toEqual([red]);
  });

  test("repeated, retries nothing twice: it names the jobs made before, and retries what has failed since", async () => {
    await using api = await setup();
    const old = await fail(api, "timeout");
    const first = await retry(api);
    const again = await retry(api);
    expect(pairs(again)).toEqual([{ ...pairs(first)[0], replayed: true }]);
    const held = await api.claim();
    await held.end({ kind: "failed", error: jobFailure("timeout", "again") });
    const third = await retry(api);
    expect(pairs(third)).toMatchObject([
      { from: held.id, replayed: false },
      { from: old, to: held.id, replayed: true },
    ]);
    expect(await idsOf(api, "status=queued")).toHaveLength(1);
  });

  test("ten times at once is once", async () => {
    await using api = await setup();
    const olds = [await fail(api, "timeout"), await fail(api, "timeout")];
    const answers = await Promise.all(Array.from({ length: 10 }, () => retry(api)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.flatMap((answer) => pairs(answer).map(({ to }) => to))).size).toBe(olds.length);
    expect(answers.flatMap(pairs).filter(({ replayed }) => !replayed)).toHaveLength(olds.length);
    expect(await idsOf(api, "status=queued")).toHaveLength(olds.length);
  });

  test("retries once under each Idempotency-Key", async () => {
    await using api = await setup();
    await fail(api, "timeout");
    const keyed = async (key: string) => pairs(await retry(api, {}, { "idempotency-key": key }))[0];
    const one = await keyed("one");
    expect(await keyed("one")).toEqual({ ...one, replayed: true });
    const two = await keyed("two");
    expect(two).toMatchObject({ from: one?.from, replayed: false });
    expect(await idsOf(api, "status=queued")).toEqual([two?.to, one?.to]);
  });

  test("as a dry run changes nothing, and tells which were retried before", async () => {
    await using api = await setup();
    const old = await fail(api, "timeout");
    await retry(api);
    const fresh = await fail(api, "poison", { pool: "other" });
    const before = await idsOf(api, "");
    expect(pairs(await retry(api, { dry_run: true }))).toMatchObject([
      { from: fresh, to: null, replayed: false, code: "poison" },
      { from: old, to: expect.any(String), replayed: true, code: "timeout" },
    ]);
    expect(await idsOf(api, "")).toEqual(before);
  });

  test("goes on by its cursor until every one was retried once", async () => {
    await using api = await setup();
    const olds: string[] = [];
    for (let n = 0; n < 45; n += 1) olds.push((await api.submit()).id);
    await Promise.all(olds.map((id) => api.post(`/v1/jobs/${id}/cancel`, "")));
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const answer = await retry(api, { status: "canceled", limit: 20, cursor });
      expect(answer.json.matched).toBe(pairs(answer).length);
      seen.push(...froms(answer));
      cursor = answer.json.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(olds.toReversed());
    expect(await idsOf(api, "status=queued")).toHaveLength(45);
  });

  test("that fails half-way is repeated, and no job is retried twice", async () => {
    await using api = await setup({ env: { COMFYQ_PREFIX: "half" } });
    const old = await fail(api, "timeout", { pool: "full" });
    const newer = await fail(api, "timeout", { pool: "free" });
    const claimer = await openClaimer({
      redisUrl: api.redis.url,
      prefix: "half",
      pool: "full",
      workerId: "w",
      instance: "i",
    });
    const { redis, names } = claimer.room;
    const delayed = names.bull(names.jobsQueue("full"), "delayed");
    await redis.eval('for n = 1, 100000 do redis.call("ZADD", KEYS[1], 4e15 + n, "filler-" .. n) end', 1, delayed);
    expect(problem(await retry(api))).toMatchObject({ status: 503, code: "queue_full" });
    await redis.del(delayed);
    const answer = await retry(api);
    expect(froms(answer)).toEqual([newer, old]);
    expect(pairs(answer).at(-1)?.replayed).toBe(false);
    expect(await idsOf(api, "status=queued")).toHaveLength(2);
    await claimer.close();
  });

  test("is of the caller's tenant only", async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "comfyq-retry-"));
    onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
    const [mine = "", theirs = ""] = await writeKeys(join(dataDir, "keys.json"), [
      { tenant: "mine", scopes: ["submit", "read"] },
      { tenant: "theirs", scopes: ["submit", "read"] },
    ]);
    await using api = await setup({ dataDir });
    const { id } = await api.submit({}, bearer(mine));
    await (await api.claim()).end({ kind: "failed", error: jobFailure("timeout", "late") });
    expect((await retry(api, {}, bearer(theirs))).json).toEqual({ matched: 0, retried: [], next_cursor: null });
    expect(froms(await retry(api, {}, bearer(mine)))).toEqual([id]);
  });
});

describe("what cannot be a wish to retry is refused, by name:", () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await setup();
  });
  afterAll(() => api[Symbol.asyncDispose]());

  test.each([
    ["nothing", "", "invalid_json", 'The body is empty; send a JSON object such as {"status": "failed"}'],
    [
      "a list",
      [],
      "invalid_request",
      'Nothing was retried: send a JSON object such as {"status": "failed"}; see details',
    ],
    ["a misspelt field", { stauts: "failed" }, "invalid_request", "stauts is not a field here; did you mean status?"],
    ["a status that is no end", { status: "running" }, "invalid_request", "must be one of failed, canceled, expired"],
    ["an unknown code", { code: "oom" }, "invalid_request", "code must be one of workflow_rejected"],
    [
      "a code of canceled jobs",
      { status: "canceled", code: "poison" },
      "invalid_request",
      "code tells failed jobs apart",
    ],
    ["more than a thousand", { limit: 1_001 }, "invalid_request", "limit must be at most 1000"],
    ["a moment that is none", { created_after: "yesterday" }, "invalid_request", "must be a moment such as"],
  ])("%s", async (_, body, code, words) => {
    const answer = await retry(api, body);
    expect(problem(answer)).toMatchObject({ status: code === "invalid_json" ? 400 : 422, code });
    expect(problem(answer).message).toContain(words);
  });
});
