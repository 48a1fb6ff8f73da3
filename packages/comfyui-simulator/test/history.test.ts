import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startSimulator } from "../src/index.ts";
import { eventually, finished, picture, post, readJson, restart, run, slow, start, submit } from "./setup.ts";
import { steppedClock } from "./steppedClock.ts";

interface Line {
  readonly t: number;
  readonly actor: string;
  readonly op: string;
  readonly prompt?: string | null;
}

/** A file for the history, and what stands in it. */
function historyFile() {
  const folder = mkdtempSync(join(tmpdir(), "comfyq-simulator-history-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "history.jsonl");
  const lines = (): Line[] =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Line); // only the simulator writes it
  return { path, lines, untimed: () => lines().map((line) => ({ ...line, t: undefined })) };
}

const of = (job: string, epoch: number) => ({ extra_data: { comfyq: { job_id: job, epoch } } });

test("the history tells of each prompt when it is queued, starts and ends, and whose it is", async () => {
  const history = historyFile();
  const simulator = await start({ historyFile: history.path });
  const actor = `simulator:${simulator.port}`;
  const before = Date.now();
  const { id } = await run(simulator, picture(), of("job_1", 3));
  const stranger = await run(simulator, { "1": { class_type: "SimOom", inputs: {} }, ...tail });
  expect(history.untimed()).toEqual([
    { actor, op: "booted" },
    { actor, op: "queued", prompt: id, job: "job_1", epoch: 3 },
    { actor, op: "started", prompt: id, job: "job_1", epoch: 3 },
    { actor, op: "ended", prompt: id, job: "job_1", epoch: 3, status: "success" },
    { actor, op: "queued", prompt: stranger.id },
    { actor, op: "started", prompt: stranger.id },
    { actor, op: "ended", prompt: stranger.id, status: "error" },
  ]);
  const times = history.lines().map(({ t }) => t);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(Math.abs((times[1] ?? 0) - before)).toBeLessThan(60_000); // Unix time, as the other processes write it
});

const tail = { "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } } };

test("the history tells which prompts were taken from the queue, interrupted, and lost in a restart", async () => {
  const history = historyFile();
  const clock = steppedClock();
  const simulator = await start({ clock, historyFile: history.path });
  clock.hold();
  const ids: string[] = [];
  for (const epoch of [1, 2, 3, 4]) {
    ids.push((await submit(simulator, slow(5000, 5, `${epoch}`), of("job_1", epoch))).prompt_id);
  }
  const [first = "", second = "", third = "", fourth = ""] = ids;
  await clock.untilAsleep();
  await post(simulator, "/queue", { delete: [third] });
  await post(simulator, "/interrupt", { prompt_id: first });
  await clock.release();
  await finished(simulator, first);
  await clock.untilAsleep();
  await simulator.restart();
  const told = history.lines().map(({ op, prompt }) => [op, prompt]);
  expect(told.filter(([op]) => op !== "queued" && op !== "started")).toEqual([
    ["booted", undefined],
    ["removed", third],
    ["ended", first],
    ["removed", fourth],
    ["crashed", second],
    ["booted", undefined],
  ]);
});

test("a worker thread that dies is told with its prompt, and a crash without any prompt too", async () => {
  const history = historyFile();
  const simulator = await start({ historyFile: history.path, faults: [{ kind: "zombie" }] });
  const { prompt_id } = await submit(simulator, picture(), of("job_1", 1));
  await eventually(
    () => history.untimed(),
    (lines) => lines.some(({ op }) => op === "worker_died"),
  );
  await restart(simulator);
  await restart(simulator);
  expect(
    history
      .lines()
      .slice(3)
      .map(({ op, prompt }) => [op, prompt]),
  ).toEqual([
    ["worker_died", prompt_id],
    ["crashed", prompt_id],
    ["booted", undefined],
    ["crashed", null],
    ["booted", undefined],
  ]);
});

test("a history that cannot be written is refused before anything starts", async () => {
  await expect(startSimulator({ historyFile: "/nowhere/at/all/history.jsonl" })).rejects.toMatchObject({
    code: "bad_option",
  });
});

test("the counts say how often each attempt's prompt has run and what it has cost, a lost one too", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  await run(simulator, slow(2000, 2, "a"), of("job_1", 1));
  clock.hold();
  await submit(simulator, slow(9000, 9, "b"), of("job_1", 2));
  await submit(simulator, slow(9000, 9, "c"), of("job_2", 1));
  await clock.release();
  await clock.untilAsleep();
  const costs = () => simulator.stats().prompts.map(({ job, epoch, started, busyMs }) => [job, epoch, started, busyMs]);
  expect(costs()).toEqual([
    ["job_1", 1, 1, 2000],
    ["job_1", 2, 1, 1000], // and still running
    ["job_2", 1, 0, 0],
  ]);
  clock.letGo();
  await simulator.restart();
  const { prompts, busyMs, most } = simulator.stats();
  expect(prompts.map(({ outcome, removed }) => [outcome, removed])).toEqual([
    ["success", 0],
    ["lost", 0],
    [undefined, 1],
  ]);
  expect(busyMs).toBeGreaterThanOrEqual(3000);
  expect(most).toEqual({ running: 1, pending: 1, queued: 2 });
});

test("a request to free memory is counted", async () => {
  const simulator = await start();
  await post(simulator, "/free", { free_memory: true });
  await post(simulator, "/api/free", { unload_models: true });
  const { requests } = await readJson<{ requests: Record<string, number> }>(fetch(`${simulator.url}/simulator/stats`));
  expect(requests["POST /free"]).toBe(2);
});
