import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Job, StoredApiKey, type WorkerBeat } from "@comfyq/contract";
import { newSecret, sha256Hex } from "@comfyq/runtime";
import { afterAll, describe, expect, test, vi } from "vitest";
import { copyImage, freshPixel } from "./graphs.ts";
import { timedJob } from "./lanes.ts";
import { startProcess } from "./processes.ts";
import { isFinished, readJson, type System, setup } from "./setup.ts";
import { manifestOf } from "./traces.ts";

// Two old ComfyUIs at the far end: such as show in their queues what they were sent.
const far = await setup({ workers: 2, simulatorArgs: ["--version", "0.3.64"], env: { COMFYQ_LOG_LEVEL: "trace" } });
afterAll(() => far[Symbol.asyncDispose]());

const key = newSecret("cq_live");

/** The far installation as strangers reach it: with a key. */
async function openDoor(): Promise<string> {
  const keysFile = join(far.dataDir, "keys-of-strangers.json");
  const facts = { name: "near", tenant: "default", scopes: ["submit", "read", "cancel"], expires_at: null };
  const stored = StoredApiKey.parse({ ...facts, sha256: sha256Hex(key), created_at: new Date().toISOString() });
  await writeFile(keysFile, JSON.stringify({ v: 1, keys: [stored] }));
  const api = await startProcess("api", {
    env: { ...far.env, COMFYQ_PORT: "0", COMFYQ_KEYS_FILE: keysFile, COMFYQ_QUEUE_CAP: "2" },
  });
  afterAll(async () => void (await api.stop("SIGKILL")));
  return String(api.ready["url"]);
}

const door = await openDoor();

interface Named {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: string;
}

const jobsOf = async (system: System) => (await readJson<{ jobs: Job[] }>(system.get("/v1/jobs?limit=100"))).jobs;
const idsOf = async (system: System) => (await jobsOf(system)).map(({ id }) => id);

describe.each([
  ["a cloud", [door, door], { COMFYUI_CLOUD_HOSTS: new URL(door).host }],
  ["a ComfyUI", [door], { COMFYUI_CLOUD_HOSTS: "" }],
] as const)("a comfyq that drives another one as %s", async (_, comfyUiUrls, how) => {
  const near = await setup({
    comfyUiUrls,
    env: { COMFYQ_LOG_LEVEL: "trace", COMFYUI_API_KEYS: `${new URL(door).host}=${key}`, ...how },
  });
  afterAll(() => near[Symbol.asyncDispose]());

  const beats = async () => (await readJson<{ workers: WorkerBeat[] }>(near.get("/v1/workers"))).workers;

  /** Jobs that came up at the far end while something was done here. */
  async function farJobsOf(work: () => Promise<unknown>): Promise<readonly Job[]> {
    const before = await idsOf(far);
    await work();
    return (await jobsOf(far)).filter(({ id }) => !before.includes(id));
  }

  test("renders there, and keeps the very bytes", async () => {
    const image = `data:image/png;base64,${freshPixel().toString("base64")}`;
    let nearId = "";
    const there = await farJobsOf(async () => {
      const job = await near.submit({ workflow: copyImage("x.png"), inputs: { "10.inputs.image": image } });
      nearId = job.id;
      expect(await near.until(nearId, isFinished)).toMatchObject({ status: "succeeded", error: null });
    });
    expect(there).toMatchObject([{ status: "succeeded" }]);
    const [here, origin] = [await manifestOf(near, nearId), await manifestOf(far, there[0]?.id ?? "")];
    const bytesOf = (system: System, output: (typeof here.outputs)[number] | undefined) =>
      readFile(join(system.dataDir, "files", output && "key" in output ? output.key : ""));
    expect(here.outputs).toHaveLength(1);
    expect((await bytesOf(near, here.outputs[0])).equals(await bytesOf(far, origin.outputs[0]))).toBe(true);
  }, 60_000);

  test("renders once, though its worker is killed in the middle", async () => {
    const there = await farJobsOf(async () => {
      const { id } = await near.submit(timedJob(6_000));
      await near.until(id, ({ stage }) => stage === "rendering");
      const { id: worker = "" } = (await beats()).find(({ job_id }) => job_id === id) ?? {};
      const at = Number(worker.replace("worker-", ""));
      await near.workers[at]?.stop("SIGKILL");
      await near.restartWorker(at);
      expect(await near.until(id, isFinished)).toMatchObject({ status: "succeeded" });
    });
    expect(there).toMatchObject([{ status: "succeeded" }]);
  }, 60_000);

  // As a ComfyUI it renders one at a time for one worker.
  if (comfyUiUrls.length > 1)
    test("as many render there at once as there are workers here", async () => {
      const jobs = await Promise.all([1, 2].map(() => near.submit(timedJob(3_000))));
      const rendering = async () => (await jobsOf(far)).filter(({ stage }) => stage === "rendering").length;
      await vi.waitUntil(async () => (await rendering()) === 2, { timeout: 20_000, interval: 20 });
      for (const { id } of jobs) expect(await near.until(id, isFinished)).toMatchObject({ status: "succeeded" });
    }, 60_000);

  test("a cancel here stops the render there", async () => {
    const there = await farJobsOf(async () => {
      const { id } = await near.submit(timedJob(60_000));
      await near.until(id, ({ stage }) => stage === "rendering");
      await vi.waitUntil(async () => (await jobsOf(far)).some(({ stage }) => stage === "rendering"), 10_000);
      await near.post(`/v1/jobs/${id}/cancel`);
      expect(await near.until(id, isFinished)).toMatchObject({ status: "canceled" });
    });
    const [farId = ""] = there.map(({ id }) => id);
    expect(await far.until(farId, isFinished)).toMatchObject({ status: "canceled" });
  }, 60_000);

  test("a full queue there keeps jobs waiting here, uncounted, and its worker says so", async () => {
    const fillers = await Promise.all(Array.from({ length: 5 }, () => far.submit(timedJob(60_000))));
    const { id } = await near.submit({ ...timedJob(50), max_attempts: 1 });
    await vi.waitUntil(async () => (await beats()).every(({ state }) => state === "quarantined"), 30_000);
    for (const { reason } of await beats()) expect(reason).toMatch(/not taken \(503\): the server asks to wait/);
    expect(await near.read(id)).toMatchObject({ status: "queued" });
    await Promise.all(fillers.map((filler) => far.post(`/v1/jobs/${filler.id}/cancel`)));
    expect(await near.until(id, isFinished)).toMatchObject({ status: "succeeded" });
  }, 90_000);

  test("who came by ComfyUI's own API finds its files under the names it was told", async () => {
    const { prompt_id: id } = await readJson<{ prompt_id: string }>(
      near.post("/prompt", { prompt: timedJob(50).workflow, client_id: "c" }),
    );
    await near.until(id, isFinished);
    const history = await readJson<Record<string, { outputs: Record<string, Record<string, Named[]>> }>>(
      near.get(`/history/${id}`),
    );
    const files = Object.values(history[id]?.outputs ?? {}).flatMap((output) => Object.values(output).flat());
    expect(files).toHaveLength(2);
    for (const { filename, subfolder, type } of files) {
      const answer = await near.get(`/view?${new URLSearchParams({ filename, subfolder, type }).toString()}`);
      expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([200, 5_000]);
    }
  }, 60_000);

  test("a partner's key goes all the way to the far ComfyUI, and neither it nor ours stays anywhere on it", async () => {
    const secrets = { api_key_comfy_org: "MARKERfar33" };
    const { id } = await near.submit({ ...timedJob(3_000), secrets });
    const queue = async () =>
      (await Promise.all(far.instances.map(async (url) => (await fetch(`${url}/queue`)).text()))).join("");
    await vi.waitUntil(async () => (await queue()).includes('"api_key_comfy_org":"MARKERfar33"'), 20_000);
    expect(await near.until(id, isFinished)).toMatchObject({ status: "succeeded" });
    const logs = [near, far].flatMap(({ api, dispatcher, workers }) => [api, dispatcher, ...workers]);
    const places = [
      logs.map((process) => process.log()).join(""),
      await near.redis.everWritten(),
      await far.redis.everWritten(),
      await (await near.get("/v1/workers")).text(),
    ];
    for (const text of places) for (const form of ["MARKERfar33", key]) expect(text.includes(form)).toBe(false);
  }, 60_000);
});
