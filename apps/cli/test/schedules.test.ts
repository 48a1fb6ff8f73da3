import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Schedule, Tick } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import { createProgram } from "../src/program.ts";
import { hearStdout, job, refusal, standInApi } from "./standIn.ts";
import { temporaryFolder } from "./startFixture.ts";

const written = hearStdout();

const GRAPH = { "6": { class_type: "CLIPTextEncode", inputs: { text: "a fox" } } };
const MADE: Tick = {
  tick_at: "2026-11-27T02:30:00.000Z",
  decided_at: "2026-11-27T02:30:00.100Z",
  trigger: "rule",
  outcome: "job",
  job_id: job({}).id,
  canceled: [],
  count: 1,
  reason: null,
};
const MISSED: Tick = { ...MADE, outcome: "missed", job_id: null, count: 3, reason: "No dispatcher came to it" };

/** A schedule as the API shows it, in whatever of its facts a test needs. */
function schedule(facts: Partial<Schedule> = {}): Schedule {
  return {
    id: "00000000-0000-7000-8000-000000000002",
    name: "daily",
    state: "active",
    cron: "30 2 * * *",
    time_zone: "Europe/Berlin",
    jitter_s: 0,
    overlap: "skip",
    catch_up: "last",
    catch_up_max: 100,
    created_at: "2026-11-22T10:00:00.000Z",
    updated_at: "2026-11-22T10:00:00.000Z",
    paused_at: null,
    fired: 4,
    consecutive_failures: 0,
    open_jobs: [],
    last_tick: MADE,
    next_at: ["2026-11-28T01:30:00.000Z"],
    urls: { self: "", ticks: "", run: "" },
    job: { workflow: GRAPH },
    ...facts,
  };
}

const run = (...args: readonly string[]) =>
  createProgram(() => undefined).parseAsync(["node", "comfyq", "schedules", ...args]);

test("put makes a schedule of a workflow and what was typed", async () => {
  const asked = await standInApi({ status: 201, json: schedule() });
  await using folder = await temporaryFolder();
  const file = join(folder.path, "w.json");
  await writeFile(file, JSON.stringify(GRAPH));
  const rule = ["--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "--overlap", "skip", "--times", "9"];
  await run("put", "daily", file, ...rule, "-p", "6.inputs.text=a fox on {{tick.date}}", "--tag", "daily");
  const body = { cron: "30 2 * * *", time_zone: "Europe/Berlin", overlap: "skip", limit: 9 };
  const made = { workflow: GRAPH, params: { "6.inputs.text": "a fox on {{tick.date}}" }, tags: ["daily"] };
  expect(asked).toMatchObject([{ call: "PUT /v1/schedules/daily", body: { ...body, job: made } }]);
  expect(written.join("")).toContain("Schedule daily is active");
  expect(written.join("")).toContain("2026-11-28T01:30:00.000Z");
});

test("put takes a whole schedule from a file, and what was typed goes before it", async () => {
  const asked = await standInApi({ json: schedule() });
  await using folder = await temporaryFolder();
  const file = join(folder.path, "s.json");
  await writeFile(file, JSON.stringify({ every_s: 60, overlap: "allow", job: { workflow: GRAPH, priority: 3 } }));
  await run("put", "daily", file, "--overlap", "queue_one", "--pool", "night");
  const body = { every_s: 60, overlap: "queue_one", job: { workflow: GRAPH, priority: 3, pool: "night" } };
  expect(asked).toMatchObject([{ body }]);
});

test("list, show and ticks are tables; what is more says how to go on", async () => {
  await standInApi(
    {
      json: {
        schedules: [schedule(), schedule({ name: "often", every_s: 60, cron: undefined })],
        next_cursor: "often",
      },
    },
    {
      json: schedule({ consecutive_failures: 2, last_tick: { ...MISSED, outcome: "failed", reason: "no such param" } }),
    },
    { json: { ticks: [MISSED, MADE], next_cursor: null } },
  );
  await run("list");
  expect(written.join("")).toMatch(
    /daily +active +30 2 \* \* \* \(Europe\/Berlin\) +2026-11-28T01:30:00.000Z +job 2026/,
  );
  expect(written.join("")).toMatch(/often +active +every 60 s[\s\S]*more: +--cursor often/);
  await run("show", "daily");
  expect(written.join("")).toContain("failed:   2 in a row; last: no such param");
  await run("ticks", "daily");
  expect(written.join("")).toMatch(/rule +missed \(3\) +No dispatcher came to it/);
});

test("pause, resume, run and delete ask for just that", async () => {
  const asked = await standInApi(
    { json: schedule({ state: "paused", next_at: [] }) },
    { json: schedule() },
    { status: 201, json: job({}) },
    { json: {} },
    refusal(404, "not_found", 'There is no schedule "none"'),
  );
  await run("pause", "daily");
  await run("resume", "daily");
  await run("run", "daily", "--key", "k");
  await run("delete", "daily");
  expect(asked.map(({ call, key }) => [call, key])).toEqual([
    ["POST /v1/schedules/daily/pause", undefined],
    ["POST /v1/schedules/daily/resume", undefined],
    ["POST /v1/schedules/daily/run", "k"],
    ["DELETE /v1/schedules/daily", undefined],
  ]);
  await expect(run("show", "none")).rejects.toThrow('There is no schedule "none"');
});

test.each([
  [["put", "daily"], "missing required argument"],
  [["put", "daily", "x.json", "--overlap", "queue"], "Allowed choices are"],
  [["put", "daily", "x.json", "--every", "soon"], "whole number"],
])("schedules %j is a mistake, and it is said which", async (args, words) => {
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  await expect(run(...args)).rejects.toThrow(expect.objectContaining({ code: expect.stringMatching(/^commander\./) }));
  expect(written.join("")).toContain(words);
});
