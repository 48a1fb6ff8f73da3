import { jobFailure } from "@comfyq/contract";
import { createSecretBox } from "@comfyq/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GRAPH, problem, setup, type TestApi } from "./setup.ts";

const KEY = "the key that this test's secrets are sealed with";
const OPERATOR_KEY = "operator-key-of-the-test";
const MARKER = "MARKER-b1c7e2";
const secrets = { api_key_comfy_org: `${MARKER}-comfy`, my_bucket: `${MARKER}-bucket` };

let api: TestApi;
beforeAll(async () => {
  api = await setup({ env: { COMFYQ_SECRETS_KEY: KEY, COMFYQ_OPERATOR_KEY: OPERATOR_KEY } });
});
afterAll(() => api[Symbol.asyncDispose]());

const keyed = (key: string, body: object) =>
  api.post("/v1/jobs", { workflow: GRAPH, ...body }, { "idempotency-key": key });

describe("secrets of a job", () => {
  test("reach the worker sealed, are kept by a retry, and stand in clear nowhere else", async () => {
    const answers: string[] = [];
    const webhook = { url: "https://example.com/hook", events: ["job.failed"] };
    const source = { url: "https://example.com/a.png", credential: "my_bucket" };
    const submitted = await keyed("first", { pool: "sealed", secrets, webhook, inputs: { "3.inputs.image": source } });
    answers.push(submitted.text);
    expect(submitted.status).toBe(201);
    const { id } = submitted.json;
    const held = await api.claim("sealed");
    expect(held.request.inputs["3.inputs.image"]).toEqual(source);
    expect(JSON.parse(createSecretBox(KEY).open(held.sealedSecrets ?? "", "default"))).toEqual(secrets);
    await held.end({ kind: "failed", error: jobFailure("node_failed", "it failed") });
    const retried = await api.post(`/v1/jobs/${id}/retry`, {});
    answers.push(retried.text);
    const again = await api.claim("sealed");
    expect(again).toMatchObject({ id: retried.json.id, sealedSecrets: held.sealedSecrets });
    await again.end({ kind: "failed", error: jobFailure("node_failed", "it failed again") });
    const all = (await api.post("/v1/jobs/retry", { pool: "sealed" })).json;
    expect(all.matched).toBe(2);
    expect((await api.claim("sealed")).sealedSecrets).toBe(held.sealedSecrets);
    for (const path of ["", "/workflow", "/attempts"]) answers.push((await api.call(`/v1/jobs/${id}${path}`)).text);
    answers.push((await api.call(`/v1/jobs/${id}/events`)).text, (await api.call("/v1/jobs")).text);
    for (const part of ["", "/logs", "/flow?depth=3&maxChildren=10"])
      answers.push((await api.call(`/admin/queues/api/queues/jobs-sealed/${id}${part}`)).text);
    expect(answers.join("")).toContain(id);
    expect(await api.redis.everWritten()).toContain(held.sealedSecrets);
    for (const place of [answers.join(""), api.log(), await api.redis.everWritten()]) {
      expect(place).not.toContain(MARKER);
      expect(place).not.toContain(Buffer.from(MARKER).toString("base64").slice(0, 12));
    }
  });

  test("count when a request is told from another, and cannot be found out from what is kept of it", async () => {
    const body = { pool: "told", secrets };
    const first = await keyed("second", body);
    expect((await keyed("second", body)).json.id).toBe(first.json.id);
    const other = await keyed("second", { ...body, secrets: { ...secrets, my_bucket: "another" } });
    expect(problem(other)).toMatchObject({ status: 422, code: "idempotency_key_reuse" });
  });

  test("that are malformed are refused without a word of their values", async () => {
    const answer = await api.post("/v1/jobs", {
      workflow: GRAPH,
      secrets: { "no spaces": MARKER, "../../etc/passwd": MARKER, number: 7, lines: `${MARKER}\r\nX-Evil: 1` },
    });
    expect(answer.status).toBe(422);
    const faults = answer.json.error.details.map(({ path }: { path: string }) => path);
    expect(faults.toSorted()).toEqual([
      "secrets.../../etc/passwd",
      "secrets.lines",
      "secrets.no spaces",
      "secrets.number",
    ]);
    expect(answer.text).not.toContain(MARKER);
  });
});

test("a source that is an object may be wrong in each of its parts, and the part is named", async () => {
  const fault = async (source: unknown) => {
    const answer = await api.post("/v1/jobs", { workflow: GRAPH, inputs: { "3.inputs.image": source } });
    return answer.json.error.details
      .map(({ path, message }: Record<string, string>) => `${path} ${message}`)
      .join("; ");
  };
  const at = "inputs.3.inputs.image";
  expect(await fault(7)).toBe(`${at} is of a kind that is not taken here; see /docs`);
  expect(await fault("ftp://x")).toContain(`${at} must start with http://`);
  expect(await fault({ url: "ftp://x" })).toContain(`${at}.url must start with http://`);
  expect(await fault({ url: "https://a/", credentials: "x" })).toContain(`${at}.credentials is not a field here`);
  expect(await fault({ url: "https://a/", credential: "../x" })).toContain(`${at}.credential must be 1-64 of`);
  expect(await fault({ url: "https://a/", sha256: "12" })).toBe(`${at}.sha256 must be 64 hex digits`);
  expect(await fault({ url: "data:,x", credential: "a" })).toBe(
    `${at} needs no credential; only http(s):// and s3:// sources do`,
  );
  expect(await fault({ url: "s3://bucket/../key" })).toContain(`${at} has a key that cannot be read`);
});
