import { DEFAULT_EVENTS } from "@comfyq/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bearer, GRAPH, problem, setup, type TestApi } from "./setup.ts";

const KEY = "a key that seals for the tests of webhooks only";
const OPERATOR_KEY = "an operator of sixteen letters";
const HEADER_MARKER = "gateway-token-marker-0c5f";
const URL_1 = "https://hooks.example.com/in";

let api: TestApi;
beforeAll(async () => {
  api = await setup({ env: { COMFYQ_SECRETS_KEY: KEY, COMFYQ_OPERATOR_KEY: OPERATOR_KEY } });
});
afterAll(() => api[Symbol.asyncDispose]());

const make = async (body: object = {}) => {
  const answer = await api.post("/v1/webhooks", { url: URL_1, ...body });
  expect(answer.status).toBe(201);
  return answer.json;
};
const put = (id: string, body: object) =>
  api.call(`/v1/webhooks/${id}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
const remove = (id: string) => api.call(`/v1/webhooks/${id}`, { method: "DELETE" });

test("an endpoint is made, shown, listed, changed and deleted; its secret is shown once", async () => {
  const made = await make({ description: "orders", metadata: { shop: 7 }, headers: { "X-Gate": HEADER_MARKER } });
  expect(made.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(made).toMatchObject({
    events: [...DEFAULT_EVENTS],
    status: "enabled",
    header_names: ["X-Gate"],
    metadata: { shop: 7 },
  });
  const { secret: _once, ...shown } = made;
  expect((await api.call(`/v1/webhooks/${made.id}`)).json).toEqual(shown);
  expect((await api.call("/v1/webhooks")).json.endpoints).toContainEqual(shown);
  const changed = await put(made.id, { events: ["queue.idle", "job.started"] });
  expect(changed.json).toMatchObject({
    events: ["queue.idle", "job.started"],
    description: "orders",
    header_names: ["X-Gate"],
  });
  expect((await remove(made.id)).status).toBe(204);
  expect((await remove(made.id)).status).toBe(404);
  expect((await api.call(`/v1/webhooks/${made.id}`)).status).toBe(404);
});

test("headers do not follow an endpoint to another host unless they are sent again", async () => {
  const { id } = await make({ headers: { Authorization: `Bearer ${HEADER_MARKER}` } });
  const refused = await put(id, { url: "https://thief.example.com/" });
  expect(problem(refused)).toMatchObject({ status: 422, code: "invalid_request" });
  expect((await put(id, { url: "https://hooks.example.com/other" })).json.header_names).toEqual(["Authorization"]);
  expect((await put(id, { url: "https://other.example.com/", headers: {} })).json.header_names).toEqual([]);
  await remove(id);
});

test.each([
  ["http://169.254.169.254/latest"],
  ["http://[::ffff:10.0.0.1]/"],
  ["http://127.0.0.1/"],
  ["https://example.com:22/"],
  ["https://user:word@example.com/"],
  ["ftp://example.com/"],
])("an address that may not be reached is refused when it is named: %s", async (url) => {
  expect(problem(await api.post("/v1/webhooks", { url }))).toMatchObject({ status: 422, code: "invalid_request" });
  const { id } = await make();
  expect((await put(id, { url })).status).toBe(422);
  await remove(id);
});

test("a job, a batch and a schedule's job whose webhook may never be reached are refused, not queued unheard", async () => {
  const webhook = { url: "http://10.0.0.1/hook" };
  const job = { workflow: GRAPH, webhook };
  const schedule = (wish: object) =>
    api.call("/v1/schedules/unheard", {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ every_s: 60, ...wish }),
    });
  const answers = [
    await api.post("/v1/jobs", job),
    await api.post("/v1/batches", { ...job, rows: [{ "metadata:n": 1 }] }),
    await schedule({ job }),
    await schedule({ job: { workflow: GRAPH }, webhook }),
  ];
  for (const answer of answers) {
    expect(problem(answer)).toMatchObject({ status: 422, code: "invalid_request" });
    expect(answer.json.error.message).toMatch(
      /ebhooks cannot be sent there: 10\.0\.0\.1 is not on the public internet/,
    );
    expect(answer.json.error.details[0].path).toMatch(/^(job\.)?webhook\.url$/);
  }
});

test("a refused address is told what was not done, and of COMFYQ_ALLOW_HOSTS only where that would help", async () => {
  const messageFor = async (url: string) => problem(await api.post("/v1/webhooks", { url })).message;
  expect(await messageFor("http://10.0.0.1/")).toMatch(/^Nothing was made: .*10\.0\.0\.1 .*COMFYQ_ALLOW_HOSTS$/);
  expect(await messageFor("https://user:word@example.com/")).toMatch(/send headers instead$/);
});

test.each([
  [{ Host: "a" }],
  [{ "Content-Type": "a" }],
  [{ "webhook-id": "a" }],
  [{ "X-Forwarded-For": "a" }],
  [{ "X-A": "two\r\nlines: 1" }],
  [{ "X-A": "" }],
  [{ "X-A": "1", "x-a": "2" }],
  [Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`X-${at}`, "a"]))],
])("headers that are not a receiver's own are refused: %j", async (headers) => {
  expect((await api.post("/v1/webhooks", { url: URL_1, headers })).status).toBe(422);
  expect((await api.post("/v1/jobs", { workflow: GRAPH, webhook: { url: URL_1, headers } })).status).toBe(422);
});

test("only events that there are can be asked for, and the test is not one of them", async () => {
  for (const events of [[], ["job.done"], ["webhook.test"]])
    expect((await api.post("/v1/webhooks", { url: URL_1, events })).status).toBe(422);
});

test("a tenant has at most 20 endpoints, however many are asked for at once", async () => {
  const answers = await Promise.all(Array.from({ length: 25 }, () => api.post("/v1/webhooks", { url: URL_1 })));
  const taken = (wanted: number) => answers.filter(({ status }) => status === wanted).length;
  expect([taken(201), taken(409)]).toEqual([20, 5]);
  await Promise.all(answers.flatMap(({ json }) => (json.id === undefined ? [] : [remove(json.id)])));
  expect((await api.call("/v1/webhooks")).json.endpoints).toEqual([]);
});

test("a rotated secret is new, the old one is said to end, and many rotations at once do not get lost", async () => {
  const { id, secret } = await make();
  const rotate = (body?: object) =>
    body ? api.post(`/v1/webhooks/${id}/rotate`, body) : api.call(`/v1/webhooks/${id}/rotate`, { method: "POST" });
  const rotated = await rotate();
  expect(rotated.json.secret).not.toBe(secret);
  expect(Date.parse(rotated.json.old_secret_until)).toBeGreaterThan(Date.now() + 86_000_000);
  expect((await api.call(`/v1/webhooks/${id}`)).json.old_secret_until).toBe(rotated.json.old_secret_until);
  const many = await Promise.all(Array.from({ length: 6 }, () => rotate({ overlap_s: 60 })));
  expect(many.filter(({ status }) => status === 200)).toHaveLength(3); // 4 old ones at most
  expect((await rotate({ overlap_s: 0 })).json).toMatchObject({ old_secret_until: null });
  expect((await rotate({ overlap_s: -1 })).status).toBe(422);
  await remove(id);
});

test("the secret of webhooks that are named with jobs is rotated, too", async () => {
  const read = async () => (await api.call("/v1/webhooks/secret")).json.secret;
  const before = await read();
  const { json } = await api.post("/v1/webhooks/secret/rotate", {});
  expect(json.secret).not.toBe(before);
  expect(await read()).toBe(json.secret);
});

test("a test event is queued for this endpoint only, and for no disabled one", async () => {
  const { id } = await make({ metadata: { mine: true } });
  const sent = await api.call(`/v1/webhooks/${id}/test`, { method: "POST" });
  expect(sent.status).toBe(202);
  expect(sent.json).toEqual({ event_id: expect.stringMatching(/^[0-9a-f-]{36}$/), delivery_id: expect.any(String) });
  expect(sent.json.delivery_id).not.toBe(sent.json.event_id);
  await remove(id);
});

test("neither secrets nor headers of webhooks stand anywhere: not in Redis, logs, answers or Bull Board", async () => {
  const endpoint = await make({ headers: { Authorization: `Bearer ${HEADER_MARKER}` } });
  const { json: rotated } = await api.post(`/v1/webhooks/${endpoint.id}/rotate`, {});
  await api.call(`/v1/webhooks/${endpoint.id}/test`, { method: "POST" });
  const webhook = { url: URL_1, headers: { "X-Gate": HEADER_MARKER }, metadata: { a: 1 } };
  const job = await api.submit({ workflow: GRAPH, webhook }, { "idempotency-key": "hidden" });
  await api.submit({ workflow: GRAPH, webhook }, { "idempotency-key": "hidden" });
  const other = { ...webhook, headers: { "X-Gate": "another" } };
  const reuse = await api.post("/v1/jobs", { workflow: GRAPH, webhook: other }, { "idempotency-key": "hidden" });
  expect(problem(reuse).code).toBe("idempotency_key_reuse");
  await api.succeed(await api.claim());
  const retried = await api.call(`/v1/jobs/${job.id}/retry`, { method: "POST" });
  expect(retried.status).toBe(201);
  const kept = await api.redis.everWritten();
  expect(kept).toMatch(/"webhookHeaders":"v1\./);
  const answers = await Promise.all(
    [
      `/v1/webhooks/${endpoint.id}`,
      "/v1/webhooks",
      `/v1/jobs/${job.id}`,
      "/v1/jobs",
      `/v1/jobs/${retried.json.id}/workflow`,
    ].map(async (path) => (await api.call(path)).text),
  );
  for (const queue of ["settlements", "deliveries", "jobs-default"])
    answers.push(
      (await api.call(`/admin/queues/api/queues?activeQueue=${queue}`, { headers: bearer(OPERATOR_KEY) })).text,
    );
  const rubbish = { url: URL_1, headers: { "Not-Theirs": HEADER_MARKER, "X-Lines": `${HEADER_MARKER}\n` } };
  answers.push((await api.post("/v1/webhooks", rubbish)).text);
  const everywhere = [kept, api.log(), ...answers].join("\n");
  for (const marker of [
    HEADER_MARKER,
    endpoint.secret,
    rotated.secret,
    endpoint.secret.slice(6),
    rotated.secret.slice(6),
  ])
    expect(everywhere).not.toContain(marker);
});
