import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Job, Manifest, type NewJobBody } from "@comfyq/contract";
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { copyImage, freshPixel, sampling } from "./graphs.ts";
import { isFinished, type System, setup } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

const rendersOf = async (system: System) => (await system.history()).filter(({ op }) => op === "started").length;

const manifestOf = async ({ dataDir }: System, id: string): Promise<Manifest> =>
  Manifest.parse(JSON.parse(await readFile(join(dataDir, "files", "jobs", id, "manifest.json"), "utf8")));

const startsOf = async (system: System, ids: readonly string[]) =>
  (await system.history()).filter(({ op, job }) => op === "started" && ids.includes(String(job))).length;

describe("one system, where a job is cached only when it says so", async () => {
  const system = await setup({ workers: 2, simulatorArgs: ["--step-ms", "5"] });
  afterAll(() => system[Symbol.asyncDispose]());
  const run = async (body: NewJobBody) => system.until((await system.submit(body)).id, isFinished);

  test("an identical job is answered at once with files of its own, named as it wants", async () => {
    const body: NewJobBody = { workflow: sampling(2), cache: "use" };
    const first = await run(body);
    expect(first).toMatchObject({ status: "succeeded", cached: false, attempts: 1 });
    const second = await system.submit(body);
    expect(second).toMatchObject({ status: "succeeded", cached: true, attempts: 0 });
    const shown = ({ outputs }: Job) => outputs.map(({ hash, name }) => [hash, name]);
    expect(shown(second)).toEqual(shown(first));
    const third = await system.submit({ ...body, params: { "9.inputs.filename_prefix": "mine/own" } });
    expect(third).toMatchObject({ cached: true, outputs: [{ name: expect.stringMatching(/^mine-own_/) }] });
    const bytes = new Uint8Array(await (await fetch(String(third.outputs[0]?.url))).arrayBuffer());
    expect(`sha256:${createHash("sha256").update(bytes).digest("hex")}`).toBe(first.outputs[0]?.hash);
    expect(await manifestOf(system, third.id)).toMatchObject({ cached: true, cached_from: first.id });
    expect(await startsOf(system, [first.id, second.id, third.id])).toBe(1);
  });

  test("refresh renders anew, and the next one is given that; off and nothing said neither look nor store", async () => {
    const workflow = sampling(2);
    const plain = await run({ workflow });
    const off = await run({ workflow, cache: "off" });
    const first = await run({ workflow, cache: "use" });
    const fresh = await run({ workflow, cache: "refresh" });
    expect([plain, off, first, fresh].map(({ cached }) => cached)).toEqual([false, false, false, false]);
    const last = await run({ workflow, cache: "use" });
    expect((await manifestOf(system, last.id)).cached_from).toBe(fresh.id);
  });

  test("what a URL gives counts, and not the URL: two that give the same bytes share a result, others do not", async () => {
    const pictures: Record<string, Buffer> = { "/a.png": freshPixel(), "/c.png": freshPixel() };
    const source = createServer(({ url = "" }, response) => response.end(pictures[url.replace("b", "a")]));
    source.listen(0, "127.0.0.1");
    onTestFinished(() => void source.close());
    await once(source, "listening");
    const { port } = source.address() as AddressInfo; // a TCP server's address is never a string
    const copy = (name: string): NewJobBody => ({
      workflow: copyImage("x.png"),
      inputs: { "10.inputs.image": `http://127.0.0.1:${port}/${name}.png` },
      cache: "use",
    });
    expect(await run(copy("a"))).toMatchObject({ status: "succeeded", cached: false });
    expect(await run(copy("b"))).toMatchObject({ status: "succeeded", cached: true });
    expect(await run(copy("c"))).toMatchObject({ status: "succeeded", cached: false });
    const uri = `data:image/png;base64,${pictures["/a.png"]?.toString("base64")}`;
    expect(await system.submit({ ...copy("a"), inputs: { "10.inputs.image": uri } })).toMatchObject({ cached: true });
  });
});

test("with COMFYQ_CACHE=use a random seed is not looked up, and is rolled each time; what it saves is counted", async () => {
  await using system = await setup({ simulatorArgs: ["--step-ms", "5"], env: { COMFYQ_CACHE: "use" } });
  const run = async (body: NewJobBody) => system.until((await system.submit(body)).id, isFinished);
  const random: NewJobBody = { workflow: sampling(2), params: { "3.inputs.seed": "random" } };
  const jobs = [await run(random), await run(random), await run({ ...random, cache: "use" })];
  expect(jobs.map(({ cached }) => cached)).toEqual([false, false, false]);
  expect(new Set(jobs.map(({ outputs }) => outputs[0]?.hash)).size).toBe(3);
  const fixed: NewJobBody = { workflow: sampling(2) };
  expect([await run(fixed), await run(fixed)].map(({ cached }) => cached)).toEqual([false, true]);
  expect(await run({ ...fixed, cache: "off" })).toMatchObject({ cached: false });
  const count = async (ready: Readonly<Record<string, unknown>> | undefined, name: string) =>
    new RegExp(`^${name} (\\d+)$`, "m").exec(await (await fetch(`${String(ready?.["health"])}/metrics`)).text())?.[1];
  expect(await count(system.dispatcher.ready, "comfyq_cache_hits_total")).toBe("1");
  expect(await count(system.workers[0]?.ready, "comfyq_cache_misses_total")).toBe("2");
});

test("fifty identical jobs at once share one render, and each ends with files and a webhook of its own", async () => {
  await using system = await setup({ workers: 3, simulatorArgs: ["--step-ms", "100"] });
  const body: NewJobBody = { workflow: sampling(10), cache: "use", webhook: { url: system.sink.url } };
  const submitted = await Promise.all(Array.from({ length: 50 }, () => system.submit(body)));
  const jobs = await Promise.all(submitted.map(({ id }) => system.until(id, isFinished)));
  expect(new Set(jobs.map(({ status }) => status))).toEqual(new Set(["succeeded"]));
  expect(jobs.filter(({ cached }) => !cached)).toHaveLength(1);
  expect(await rendersOf(system)).toBe(1);
  const manifests = await Promise.all(jobs.map(({ id }) => manifestOf(system, id)));
  for (const { job_id, epoch, outputs } of manifests)
    for (const output of outputs) expect("key" in output && output.key).toMatch(`jobs/${job_id}/${epoch}/`);
  expect(new Set(jobs.flatMap(({ outputs }) => outputs.map(({ hash }) => hash))).size).toBe(1);
  await vi.waitFor(
    () => expect(jobs.map(({ id }) => system.sink.received(id).length)).toEqual(jobs.map(() => 1)),
    20_000,
  );
});
