import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DoctorReport, WorkerBeat } from "@comfyq/contract";
import { afterAll, expect, test, vi } from "vitest";
import { copyImage, freshPixel } from "./graphs.ts";
import { timedJob } from "./lanes.ts";
import { isFinished, readJson, setup } from "./setup.ts";
import { attemptsOf, manifestOf, promptsOf } from "./traces.ts";

const KEY = "MARKERcloud5d1e/key+of=account";
const hostOf = (url: string) => new URL(url).host;

/** How a worker of a simulated Comfy Cloud is told of it. */
const cloudEnv = (url: string) => ({ COMFYUI_API_KEYS: `${hostOf(url)}=${KEY}`, COMFYUI_CLOUD_HOSTS: hostOf(url) });

// Number 0 is a ComfyUI of our own, all the others are clouds, each in a pool of its own but number 1. No 3 has no websocket, and
// no 4 shows in its history what it was sent. Every process says all there is to say.
const LOCAL = 0;
const OVERFLOW = 1;
const pools = ["default", "default", "cloud", "mute", "old"];
const system = await setup({
  workers: pools.length,
  startWorkers: false,
  timeScale: 0.2,
  simulatorArgs: (at) => [
    ...(at === LOCAL ? [] : ["--cloud-key", KEY]),
    ...(at === 3 ? ["--no-sockets"] : []),
    ...(at === 4 ? ["--version", "0.3.64"] : []),
  ],
  env: { COMFYQ_LOG_LEVEL: "trace", COMFYQ_DRAIN_S: "0", COMFYQ_STALL_S: "60" },
  workerEnv: (at, url) => ({
    COMFYQ_POOL: String(pools[at]),
    ...(at === LOCAL ? {} : cloudEnv(url)),
    ...(at === OVERFLOW ? { COMFYQ_OVERFLOW_AFTER_S: "1" } : {}),
  }),
});
afterAll(() => system[Symbol.asyncDispose]());

const beats = async () => (await readJson<{ workers: WorkerBeat[] }>(system.get("/v1/workers"))).workers;

async function untilWorker(at: number, isWanted: (worker: WorkerBeat) => boolean): Promise<WorkerBeat> {
  return vi.waitUntil(
    async () => (await beats()).find(({ id, ...rest }) => id === `worker-${at}` && isWanted({ id, ...rest })),
    {
      timeout: 30_000,
    },
  );
}

async function startWorker(at: number, env: Readonly<Record<string, string>> = {}): Promise<void> {
  await system.restartWorker(at, env);
  await untilWorker(at, ({ state }) => state === "idle");
}

/** Bytes of every file that a simulator has saved, by their hash. */
async function filesAt(at: number): Promise<ReadonlySet<string>> {
  const folder = join(system.dataDir, `comfyui-${at}`, "output");
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name)));
  return new Set((await Promise.all(files)).map((bytes) => createHash("sha256").update(bytes).digest("hex")));
}

/** The job has ended well, and each of its stored files is one that this simulator saved, byte by byte. */
async function expectRenderedAt(at: number, jobId: string): Promise<void> {
  const job = await system.until(jobId, isFinished);
  expect(job).toMatchObject({ status: "succeeded", error: null });
  const [manifest, saved] = [await manifestOf(system, jobId), await filesAt(at)];
  expect(manifest.instance).toBe(system.instances[at]);
  expect(manifest.outputs.length).toBeGreaterThan(0);
  for (const output of manifest.outputs) {
    const bytes = await readFile(join(system.dataDir, "files", "key" in output ? output.key : ""));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(saved).toContain(sha256);
    expect(output).toMatchObject({ sha256, size_bytes: bytes.length });
  }
}

const rendering = ({ stage }: { readonly stage?: string | null }) => stage === "rendering";

const fault = (at: number, what: object) =>
  fetch(`${system.instances[at]}/simulator/faults`, { method: "POST", body: JSON.stringify(what) });

test("a pool overflows to the cloud: what waits too long behind a busy ComfyUI is rendered there, and nothing else", async () => {
  await startWorker(LOCAL);
  await startWorker(OVERFLOW);
  const alone = await system.submit(timedJob(50));
  await expectRenderedAt(LOCAL, alone.id);
  const long = await system.submit(timedJob(20_000));
  await system.until(long.id, rendering);
  const image = `data:image/png;base64,${freshPixel().toString("base64")}`;
  const second = await system.submit({ workflow: copyImage("x.png"), inputs: { "10.inputs.image": image } });
  await expectRenderedAt(OVERFLOW, second.id);
  expect(Date.parse(String((await system.read(second.id)).started_at)) - Date.parse(second.created_at)).toBeGreaterThan(
    900,
  );
  expect((await system.read(long.id)).status).toBe("running");
  expect((await attemptsOf(system, long.id)).map(({ instance }) => instance)).toEqual([system.instances[LOCAL]]);
  await system.post(`/v1/jobs/${long.id}/cancel`);
  expect((await system.until(long.id, isFinished)).status).toBe("canceled");
}, 60_000);

test.each([
  ["cloud", 2],
  ["mute", 3],
])(
  "a worker killed in the middle of a render (%s) goes on from its prompt: rendered once",
  async (pool, at) => {
    await startWorker(at);
    const { id } = await system.submit({ ...timedJob(4_000), pool });
    await system.until(id, rendering);
    await system.workers[at]?.stop("SIGKILL");
    await system.restartWorker(at);
    await expectRenderedAt(at, id);
    expect((await promptsOf(system, id)).map(({ submitted, outcome }) => [submitted, outcome])).toEqual([
      [1, "success"],
    ]);
  },
  60_000,
);

test("a worker killed before it could note its prompt's id finds the prompt all the same: rendered once", async () => {
  await system.workers[2]?.stop("SIGKILL");
  const doomed = await system.restartWorker(2, { FAILPOINT: "submitted:kill9@1" });
  const { id } = await system.submit({ ...timedJob(3_000), pool: "cloud" });
  expect(await doomed.ended()).toBeNull();
  await system.restartWorker(2);
  await expectRenderedAt(2, id);
  expect((await promptsOf(system, id)).map(({ submitted, outcome }) => [submitted, outcome])).toEqual([[1, "success"]]);
}, 60_000);

test("a job that is canceled while it runs there is stopped there", async () => {
  const { id } = await system.submit({ ...timedJob(60_000), pool: "cloud" });
  await system.until(id, rendering);
  await vi.waitUntil(async () => (await promptsOf(system, id)).some(({ started }) => started === 1), 10_000);
  await system.post(`/v1/jobs/${id}/cancel`);
  expect((await system.until(id, isFinished)).status).toBe("canceled");
  expect(await promptsOf(system, id)).toMatchObject([{ outcome: "interrupted" }]);
}, 60_000);

test("without credits its worker takes nothing and says why, no job is the worse for it, and all goes on when there are some", async () => {
  await untilWorker(2, ({ state }) => state === "idle");
  await fault(2, { kind: "http_500", path: "/prompt", method: "POST", status: 402, times: 1_000 });
  const { id } = await system.submit({ ...timedJob(50), pool: "cloud", max_attempts: 1 });
  const { reason } = await untilWorker(2, ({ state }) => state === "quarantined");
  expect(reason).toMatch(/402.*credits/);
  expect(await system.read(id)).toMatchObject({ status: "queued" });
  await fetch(`${system.instances[2]}/simulator/faults`, { method: "DELETE" });
  await expectRenderedAt(2, id);
  expect(await attemptsOf(system, id)).toMatchObject([
    { end: "given_back", counted: false, error: { code: "instance_refuses", blame: "platform" } },
    { end: "succeeded" },
  ]);
}, 60_000);

test("a wrong key, and none, keep a worker from all jobs; it and the doctor say what to do", async () => {
  await system.workers[3]?.stop("SIGTERM");
  const host = hostOf(String(system.instances[3]));
  const doctorSays = async () =>
    (await readJson<DoctorReport>(system.get("/v1/doctor"))).checks.find(({ name }) => name === "worker worker-3");
  for (const [keys, why] of [
    [`${host}=MARKERcloudWrong`, /401.*the key that this worker was given for .* is refused; correct it/i],
    ["", /401.*was given no key for .*; set COMFYUI_API_KEY/i],
  ] as const) {
    const worker = await system.restartWorker(3, { COMFYUI_API_KEYS: keys });
    const { reason } = await untilWorker(3, (beat) => beat.state !== "idle" && why.test(beat.reason ?? ""));
    expect(reason).not.toContain("MARKER");
    expect(JSON.stringify(await doctorSays())).toMatch(why);
    await worker.stop("SIGTERM");
  }
  const { id } = await system.submit({ ...timedJob(50), pool: "mute" });
  await startWorker(3);
  await expectRenderedAt(3, id);
}, 60_000);

test("a partner's key travels to the cloud with the prompt, and nowhere else", async () => {
  await startWorker(4);
  await fault(4, { kind: "http_500", path: "/history", method: "POST", times: 1_000 }); // so that the prompt can be looked at afterwards
  const secrets = { api_key_comfy_org: "MARKERpartner77" };
  const { id } = await system.submit({ ...timedJob(50), pool: "old", secrets });
  await expectRenderedAt(4, id);
  const { prompt_id } = await manifestOf(system, id);
  const answer = await fetch(`${system.instances[4]}/api/history_v2/${prompt_id}`, { headers: { "x-api-key": KEY } });
  expect(await answer.text()).toContain('"api_key_comfy_org":"MARKERpartner77"');
}, 60_000);

test("no key stands in Redis, logs, answers or files", async () => {
  const jobs = await readJson<{ jobs: { id: string }[] }>(system.get("/v1/jobs"));
  expect(jobs.jobs.length).toBeGreaterThan(5);
  const paths = ["/v1/workers", "/v1/doctor", "/metrics", "/v1/jobs"];
  for (const { id } of jobs.jobs) paths.push(`/v1/jobs/${id}`, `/v1/jobs/${id}/attempts`, `/v1/jobs/${id}/events`);
  const answers = await Promise.all(paths.map(async (path) => (await system.get(path)).text()));
  const files = await readdir(system.dataDir, { recursive: true, withFileTypes: true });
  const ours = files.filter((entry) => entry.isFile() && !/\/(secrets|comfyui-\d+)(\/|$)/.test(entry.parentPath));
  const places = {
    answers: answers.join(""),
    logs: [system.api, system.dispatcher, ...system.workers].map((process) => process?.log() ?? "").join(""),
    redis: await system.redis.everWritten(),
    files: (await Promise.all(ours.map((entry) => readFile(join(entry.parentPath, entry.name), "latin1")))).join(""),
  };
  const forms = ["MARKERcloud", "MARKERpartner", Buffer.from("MARKERcloud").toString("base64").slice(0, 12)];
  for (const [place, text] of Object.entries(places))
    for (const form of forms) expect(text.includes(form), `${form} in ${place}`).toBe(false);
});
