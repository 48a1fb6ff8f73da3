import { randomUUID } from "node:crypto";
import { NewJob, type Workflow } from "@comfyq/contract";
import { createSecretBox } from "@comfyq/runtime";
import { expect, test, vi } from "vitest";
import { eventually, type House, isEnded, SECRETS_KEY, setup, sleeper } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

const MARKER = "MARKER-of-a-secret-77";

async function submitWith(
  house: House,
  secrets: Readonly<Record<string, string>>,
  workflow: Workflow,
  key = SECRETS_KEY,
) {
  const id = randomUUID();
  const sealedSecrets = createSecretBox(key).seal(JSON.stringify(secrets), "default");
  const job = NewJob.parse({ workflow });
  await house.producer.submit({ id, tenant: "default", job, bodySha256: "0".repeat(64), sealedSecrets });
  return id;
}

/** The `extra_data` of the prompt that runs. */
async function extraDataAt(url: string): Promise<Record<string, unknown> | undefined> {
  const queue = (await (await fetch(`${url}/queue`)).json()) as Record<
    string,
    [number, string, unknown, Record<string, unknown>][]
  >;
  return queue["queue_running"]?.[0]?.[3];
}

test("the keys for comfy.org go along with the prompt, other secrets do not, and a job without any has none", async () => {
  const house = await setup();
  const simulator = await house.simulator({ version: "0.3.64" }); // shows in /queue what it was sent
  await house.worker(simulator.url);
  const keys = { api_key_comfy_org: `${MARKER}-key`, auth_token_comfy_org: `${MARKER}-token` };
  const job = await submitWith(house, { ...keys, bucket: "of mine" }, sleeper(400, 4));
  await eventually(async () => (await extraDataAt(simulator.url)) !== undefined);
  expect(await extraDataAt(simulator.url)).toMatchObject({ ...keys, comfyq: { job_id: job, epoch: 1 } });
  expect(await extraDataAt(simulator.url)).not.toHaveProperty("bucket");
  expect(await house.until(job, isEnded)).toMatchObject({ status: "succeeded" });
  const plain = await house.submit(sleeper(400, 4));
  await eventually(async () => (await extraDataAt(simulator.url)) !== undefined);
  expect(Object.keys((await extraDataAt(simulator.url)) ?? {})).not.toContain("api_key_comfy_org");
  await house.until(plain, isEnded);
  expect(await house.redis.everWritten()).not.toContain(MARKER);
});

test("a node that repeats a key in its error tells nobody", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  const job = await submitWith(
    house,
    { api_key_comfy_org: MARKER },
    {
      "1": { class_type: "SimError", inputs: { type: "ValueError", message: `401 for key ${MARKER}` } },
      "2": { class_type: "SimOutput", inputs: { input: ["1", 0], bytes: 5_000, seed: 1, filename_prefix: "a" } },
    },
  );
  await eventually(async () => isEnded(await house.read(job)));
  const { error } = await house.read(job);
  expect(error).toMatchObject({ code: "node_failed", message: expect.stringContaining("401 for key [hidden]") });
  expect(JSON.stringify(await house.producer.attempts("default", job))).not.toContain(MARKER);
});

test("secrets sealed with another key are not taken for none: the job waits, and the worker goes on with others", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  const job = await submitWith(house, { api_key_comfy_org: MARKER }, sleeper(5, 1), `${SECRETS_KEY}, another`);
  await eventually(async () => {
    const attempts = (await house.producer.attempts("default", job)) ?? [];
    return attempts.some(({ error }) => error?.message.includes("the same COMFYQ_SECRETS_KEY"));
  });
  await house.until(job, ({ status }) => status === "queued"); // the journal says it a moment before
  const other = await house.submit(sleeper(5, 1));
  expect(await house.until(other, isEnded)).toMatchObject({ status: "succeeded" });
  expect(simulator.stats().prompts).toHaveLength(1);
});
