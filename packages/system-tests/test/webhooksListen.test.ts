import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { example } from "./graphs.ts";
import { readJson, setup } from "./setup.ts";

// `comfyq webhooks listen` beside a real API and dispatcher. A job that is canceled while it waits needs no GPU.
const system = await setup({ timeScale: 0.2, workers: 0 });
afterAll(() => system[Symbol.asyncDispose]());
const root = new URL("../../..", import.meta.url).pathname;
const patience = { timeout: 40_000, interval: 50 };

interface Listener {
  readonly child: ChildProcess;
  readonly said: () => string;
}

/** A listener that has seen its test event. */
async function listen(...args: readonly string[]): Promise<Listener> {
  const main = ["--conditions=@comfyq/source", "apps/cli/src/main.ts", "webhooks", "listen", ...args];
  const env = { PATH: process.env["PATH"], COMFYQ_URL: system.url };
  const child = spawn(process.execPath, main, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      said += chunk;
    });
  await vi.waitFor(() => expect(said).toMatch(/webhook\.test .*verified/), patience);
  return { child, said: () => said };
}

async function endpoints(): Promise<readonly string[]> {
  const list = await readJson<{ endpoints: { description: string }[] }>(fetch(`${system.url}/v1/webhooks`));
  return list.endpoints.map(({ description }) => description);
}

async function cancelOne(): Promise<string> {
  const job = await system.submit({
    workflow: example("model-free"),
    pool: "nobody",
    webhook: { url: system.sink.url },
  });
  await system.post(`/v1/jobs/${job.id}/cancel`);
  return job.id;
}

test("a listener shows each event, verified, and removes its endpoint when it is told to end", async () => {
  const { child, said } = await listen();
  const jobId = await cancelOne();
  await vi.waitFor(
    () => expect(said()).toMatch(new RegExp(`job\\.canceled +job ${jobId} canceled +verified`)),
    patience,
  );
  expect(await endpoints()).toHaveLength(1);
  child.kill("SIGTERM");
  await once(child, "exit");
  expect(await endpoints()).toEqual([]);
}, 60_000);

test("what a killed listener left behind is removed by the next one", async () => {
  const first = await listen();
  first.child.kill("SIGKILL");
  await once(first.child, "exit");
  expect(await endpoints()).toHaveLength(1);
  const second = await listen();
  expect(await endpoints()).toEqual([expect.stringContaining(` ${second.child.pid})`)]);
  second.child.kill("SIGINT");
  await once(second.child, "exit");
  expect(await endpoints()).toEqual([]);
}, 90_000);

test("a listener that forwards answers what the other server answers", async () => {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(request.headers["webhook-signature"] ? 418 : 400).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  const { child, said } = await listen("--forward-to", `http://127.0.0.1:${port}/`, "--events", "job.canceled");
  await cancelOne();
  await vi.waitFor(() => expect(said()).toMatch(/job\.canceled .*→ 418/), patience);
  child.kill("SIGTERM");
  await once(child, "exit");
}, 60_000);
