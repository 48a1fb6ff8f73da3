import type { Job, JobPage } from "@comfyq/contract";
import { expect, onTestFinished, test, vi } from "vitest";
import { valuesOnly } from "./graphs.ts";
import { type Running, startProcess } from "./processes.ts";
import { isFinished, readJson, type System, setup } from "./setup.ts";

/** What comes to a process: a stop as a roll-out does it, or death in the middle of its work, where that hurts most. */
const FATES = [
  ["api", "SIGTERM"],
  ["dispatcher", "SIGTERM"],
  ["api", "queued_not_answered"],
  ["dispatcher", "delivered"],
  ["api", "accepted_not_queued"],
  ["dispatcher", "announced"],
] as const;

/** Every process meets its fate while the others work; its successor is up before the next one's turn. */
async function restartInTurn({ api, dispatcher, env, url }: System): Promise<void> {
  const settings = { ...env, COMFYQ_PORT: new URL(url).port, COMFYQ_PUBLIC_URL: url };
  const running: Record<"api" | "dispatcher", Running> = { api, dispatcher };
  onTestFinished(() => Promise.all(Object.values(running).map((one) => one.stop("SIGKILL"))).then(() => undefined));
  for (const [name, fate] of FATES) {
    expect([name, await running[name].stop("SIGTERM")]).toEqual([name, 0]);
    if (fate !== "SIGTERM") {
      // The third request, or event: some have passed, and more are under way.
      running[name] = await startProcess(name, { env: { ...settings, FAILPOINT: `${fate}:kill9@3` } });
      expect([fate, await running[name].ended()]).toEqual([fate, null]);
    }
    running[name] = await startProcess(name, { env: settings });
  }
}

/** A client as it should be: one key for one job, sent again until it is answered. @returns the job's id */
async function submitUntilAnswered({ url, sink }: System, key: string): Promise<string> {
  for (;;) {
    const answer = await fetch(`${url}/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": key },
      body: JSON.stringify({ workflow: valuesOnly, tags: ["rolling"], webhook: { url: sink.url } }),
      signal: AbortSignal.timeout(5_000),
    }).catch(() => undefined); // nobody listens, or the line was cut: what came of it is not known
    if (answer?.status === 201) return (await readJson<Job>(answer)).id;
    if (answer && answer.status !== 503)
      throw new Error(`submitting answered ${answer.status}: ${await answer.text()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function allJobs(system: System): Promise<readonly Job[]> {
  const jobs: Job[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page: JobPage = await readJson(system.get(`/v1/jobs?tag=rolling&limit=100${cursor && `&cursor=${cursor}`}`));
    jobs.push(...page.jobs);
    cursor = page.next_cursor;
  }
  return jobs;
}

test("API and dispatcher restart in turn while jobs stream in: each job ends once, and is told as one event", async () => {
  await using system = await setup({ workers: 2, timeScale: 0.2 });
  const ids: string[] = [];
  let isOver = false;
  const client = async (name: string) => {
    for (let n = 0; !isOver; n += 1) {
      ids.push(await submitUntilAnswered(system, `${name}-${n}`));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  const clients = ["anna", "ben", "cleo", "dan"].map(client);
  await restartInTurn(system);
  isOver = true;
  await Promise.all(clients);
  for (const id of ids) expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", attempts: 1 });
  const jobs = await allJobs(system);
  expect(jobs.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  const untold = () => ids.filter((id) => system.sink.received(id).length === 0);
  await vi.waitFor(() => expect(untold()).toEqual([]), { timeout: 60_000, interval: 100 });
  for (const id of ids) {
    const told = system.sink.received(id);
    expect(told.filter(({ isGenuine }) => !isGenuine)).toEqual([]);
    expect([...new Set(told.map(({ event }) => event.type))]).toEqual(["job.succeeded"]);
    expect([new Set(told.map((one) => one.id)).size, new Set(told.map(({ body }) => body)).size]).toEqual([1, 1]);
  }
}, 180_000);
