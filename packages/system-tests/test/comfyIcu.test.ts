import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { isTerminal } from "@comfyq/contract";
import { afterAll, expect, test, vi } from "vitest";
import { copyImage, freshPixel, sampling } from "./graphs.ts";
import { readSample } from "./samples.ts";
import { setup } from "./setup.ts";

// The code samples of ComfyICU's documentation (comfy.icu/docs/api), to the letter but for the host.
const system = await setup({
  workers: 2,
  simulatorArgs: ["--step-ms", "5"],
  workerEnv: (at) => ({ COMFYQ_POOL: at === 0 ? "default" : "a100_40gb" }),
});
afterAll(() => system[Symbol.asyncDispose]());

const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as new (
  ...parts: string[]
) => (...values: unknown[]) => Promise<void>;

/** Runs one sample with the values that it leaves to its reader. @returns what it printed, as it comes */
async function runSample(name: string, values: Readonly<Record<string, unknown>>): Promise<unknown[]> {
  const here = await readSample(`${name}.txt`, { "https://comfy.icu": system.url });
  const printed: unknown[] = [];
  const given = {
    require: () => fetch, // node-fetch, which Node has now
    process: { env: { COMFYICU_API_KEY: "any" } },
    console: { log: (value: unknown) => printed.push(value), error: (value: unknown) => printed.push(value) },
    ...values,
  };
  await new AsyncFunction(...Object.keys(given), here)(...Object.values(given));
  return printed;
}

/** Serves one picture, and keeps the JSON that is posted. */
async function startHost() {
  const posted: { id: string; status: string; output: unknown[] }[] = [];
  const server = createServer(async (request, response) => {
    if (request.method === "POST") posted.push((await json(request)) as (typeof posted)[number]); // asserted below
    response.end(request.method === "POST" ? "{}" : freshPixel());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterAll(() => void server.close());
  const { port } = server.address() as AddressInfo; // TCP
  return { url: `http://127.0.0.1:${port}`, posted };
}

test("the sample that runs a workflow and polls it sees it completed, with the files it made", async () => {
  const printed = await runSample("comfyicu-run-and-poll", {
    workflow_id: "dyhnZYLJjqJ2e6wlStQHq",
    prompt: sampling(1),
  });
  const said = () =>
    printed.find((line): line is string => typeof line === "string" && line.startsWith("Final status"));
  await vi.waitFor(() => expect(said()).toBeDefined(), { timeout: 18_000 });
  const run = JSON.parse(String(said()).replace("Final status: ", ""));
  expect(run).toMatchObject({ status: "COMPLETED", workflow_id: "dyhnZYLJjqJ2e6wlStQHq", error: null });
  expect((await fetch(run.output[0].url)).status).toBe(200);
});

test("the sample with files and an accelerator brings its input, runs in the pool of that name, and its webhook hears the run begin and end", async () => {
  const host = await startHost();
  const workflow_id = "files";
  const files = { "/input/image1.jpg": `${host.url}/image1.jpg` };
  const prompt = copyImage("image1.jpg");
  const [run] = (await runSample("comfyicu-files-and-accelerator", { workflow_id, prompt, files })) as { id: string }[];
  const job = await system.until(String(run?.id), ({ status }) => isTerminal(status));
  expect(job).toMatchObject({ status: "succeeded", pool: "a100_40gb" });
  const answer = await system.post(`/api/v1/workflows/${workflow_id}/runs`, {
    prompt,
    files,
    webhook: `${host.url}/hook`,
  });
  const { id } = (await answer.json()) as { id: string };
  await vi.waitFor(() => expect(host.posted.map(({ status }) => status)).toEqual(["RUNNING", "COMPLETED"]), 15_000);
  expect(host.posted.map((body) => body.id)).toEqual([id, id]);
  const polled = await (await system.get(`/api/v1/workflows/${workflow_id}/runs/${id}`)).json();
  expect(polled).toMatchObject({ id, status: "COMPLETED", output: [{ filename: expect.stringMatching(/\.png$/) }] });
});
