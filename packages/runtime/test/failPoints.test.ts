import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type FailPointName, failPoint } from "../src/index.ts";
import { FAIL_POINTS, parseFailPoints } from "../src/parseFailPoints.ts";
import { startFixture } from "./startFixture.ts";

const fixture = fileURLToPath(new URL("./fixtures/failPoints.ts", import.meta.url));
const run = (points: string, names: readonly string[], allowed = "1") =>
  startFixture(fixture, names, { env: { FAILPOINT: points, COMFYQ_FAIL_POINTS: allowed } });

test("K1 to K12 are there, and each point has a K of its own", () => {
  const marks: readonly string[] = Object.values(FAIL_POINTS);
  expect(marks).toEqual(expect.arrayContaining(Array.from({ length: 12 }, (_, at) => `K${at + 1}`)));
  expect(new Set(marks).size).toBe(marks.length);
});

test("a rule names the point by word or by K, what happens, and at which arrival", () => {
  expect(parseFailPoints("sealed:kill9, K6:delay:500@2,claimed:throw@*,")).toEqual([
    { name: "sealed", action: { kind: "kill9" }, at: 1 },
    { name: "executing", action: { kind: "delay", ms: 500 }, at: 2 },
    { name: "claimed", action: { kind: "throw" }, at: Number.POSITIVE_INFINITY },
  ]);
  expect(parseFailPoints("")).toEqual([]);
});

test.each([
  "nowhere:kill9",
  "sealed",
  "sealed:explode",
  "sealed:delay",
  "sealed:kill9@",
  "K13:throw",
  "sealed:kill9:5",
])("%s is refused with what may stand there", (text) => {
  expect(() => parseFailPoints(text)).toThrow(/claimed, .*missed_told; actions: kill9/);
});

test("nothing happens when nothing is set", async () => {
  await expect(failPoint("sealed")).resolves.toBeUndefined();
});

test("a rule strikes at its arrival and at no other, but @* at each", async () => {
  vi.stubEnv("COMFYQ_FAIL_POINTS", "1");
  vi.stubEnv("FAILPOINT", "claimed:throw@2,sealed:throw@*");
  onTestFinished(() => void vi.unstubAllEnvs());
  vi.resetModules(); // the rules are read once in the life of a process
  const fresh = await import("../src/failPoints.ts");
  const struck = (name: FailPointName) =>
    fresh.failPoint(name).then(
      () => "passed",
      (error: Error) => error.name,
    );
  expect([await struck("claimed"), await struck("claimed"), await struck("claimed")]).toEqual([
    "passed",
    "FailPointError",
    "passed",
  ]);
  expect([await struck("sealed"), await struck("sealed"), await struck("executing")]).toEqual([
    "FailPointError",
    "FailPointError",
    "passed",
  ]);
});

describe.concurrent("a process with FAILPOINT", () => {
  test("dies by SIGKILL at the named arrival, and does nothing after it", async () => {
    using victim = run("sealed:kill9@2", ["claimed", "sealed", "sealed"]);
    expect(await victim.ended).toMatchObject({ signal: "SIGKILL" });
    expect(victim.lines).toEqual([{ msg: "past claimed" }, { msg: "past sealed" }]);
  });

  test("exits with 1", async () => {
    using child = run("K1:exit1", ["claimed"]);
    expect(await child.ended).toMatchObject({ code: 1, stray: "" });
  });

  test("throws an error that names the point", async () => {
    using child = run("uploaded:throw", ["uploaded"]);
    const end = await child.ended;
    expect(end).toMatchObject({ code: 1, stray: expect.stringContaining('fail point "uploaded"') });
  });

  test("hangs for ever, and waits where it is told to", async () => {
    using victim = run("claimed:delay:1,sealed:block:1,settled:hang", ["claimed", "sealed", "settled"]);
    await victim.until("past sealed");
    victim.child.kill("SIGTERM");
    expect(await victim.ended).toMatchObject({ signal: "SIGTERM" });
    expect(victim.lines).toHaveLength(2);
  });

  test("lives on, unless COMFYQ_FAIL_POINTS=1 is set too", async () => {
    using child = run("claimed:kill9", ["claimed"], "");
    const end = await child.ended;
    expect(end).toMatchObject({ code: 0, signal: null });
  });

  test("that nobody can read says so at the first fail point", async () => {
    using child = run("sealed:explode", ["claimed"]);
    const end = await child.ended;
    expect(end).toMatchObject({ code: 1, stray: expect.stringContaining('FAILPOINT "sealed:explode"') });
  });
});
