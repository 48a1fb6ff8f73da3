import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Manifest, type NewJobBody } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import { sampling } from "./graphs.ts";
import { isFinished, type System, setup } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

const rendersOf = async (system: System) => (await system.history()).filter(({ op }) => op === "started").length;

const manifestOf = async ({ dataDir }: System, id: string): Promise<Manifest> =>
  Manifest.parse(JSON.parse(await readFile(join(dataDir, "files", "jobs", id, "manifest.json"), "utf8")));

test("an identical job is answered at once with files of its own", async () => {
  await using system = await setup({ simulatorArgs: ["--step-ms", "5"] });
  const body: NewJobBody = { workflow: sampling(2), cache: "use" };
  const first = await system.until((await system.submit(body)).id, isFinished);
  expect(first).toMatchObject({ status: "succeeded", cached: false, attempts: 1 });
  const second = await system.submit(body);
  expect(second).toMatchObject({ status: "succeeded", cached: true, attempts: 0 });
  expect(second.outputs.map(({ hash, name }) => [hash, name])).toEqual(
    first.outputs.map(({ hash, name }) => [hash, name]),
  );
  expect(await rendersOf(system)).toBe(1);
  const manifest = await manifestOf(system, second.id);
  expect(manifest).toMatchObject({ cached: true, cached_from: first.id });
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
