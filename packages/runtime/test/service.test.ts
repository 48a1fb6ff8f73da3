import { existsSync } from "node:fs";
import { mkdtempDisposable, open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test, vi } from "vitest";
import { sleep } from "../src/clock.ts";
import { type Running, startFixture } from "./startFixture.ts";

const fixture = fileURLToPath(new URL("./fixtures/service.ts", import.meta.url));
const parentFixture = fileURLToPath(new URL("./fixtures/parent.ts", import.meta.url));
const messages = ({ lines }: Running): unknown[] => lines.map(({ msg }) => msg);

describe.concurrent("a service", () => {
  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "stops in reverse order on %s, and exits with 0",
    async (signal) => {
      using service = startFixture(fixture, ["clean"]);
      await service.until("service started");
      service.child.kill(signal);
      expect(await service.ended).toEqual({ code: 0, signal: null, stray: "" });
      expect(messages(service)).toEqual([
        "service started",
        "service is stopping",
        "second stopped",
        "stop step ended",
        "first stopped",
        "stop step ended",
        "service stopped",
      ]);
      const ended = service.lines.filter(({ msg }) => msg === "stop step ended");
      expect(ended).toMatchObject([
        { step: "second", durationMs: expect.any(Number) },
        { step: "first", durationMs: expect.any(Number) },
      ]);
      expect(service.lines).toContainEqual(expect.objectContaining({ msg: "first stopped", aborted: true }));
    },
  );

  test("exits with 1, naming the step that hung, when its deadline passes", async () => {
    using service = startFixture(fixture, ["hang"]);
    await service.until("service started");
    service.child.kill("SIGTERM");
    expect(await service.ended).toMatchObject({ code: 1 });
    expect(service.lines.at(-1)).toMatchObject({ level: "error", hung: "second", msg: "service did not stop in time" });
  });

  test("keeps stopping when a step throws, and exits with 1", async () => {
    using service = startFixture(fixture, ["step throws"]);
    await service.until("service started");
    service.child.kill("SIGTERM");
    expect(await service.ended).toMatchObject({ code: 1 });
    expect(service.lines).toContainEqual(expect.objectContaining({ msg: "stop step failed", step: "second" }));
    expect(messages(service)).toContain("first stopped");
  });

  test("runs a step that was added while stopping", async () => {
    using service = startFixture(fixture, ["late step"]);
    await service.until("service started");
    service.child.kill("SIGTERM");
    expect(await service.ended).toMatchObject({ code: 0 });
    expect(messages(service)).toContain("late stopped");
  });

  test("exits at once on a second SIGINT, but not on the SIGTERM that a launcher sends after a Ctrl-C", async () => {
    using service = startFixture(fixture, ["stuck"]);
    await service.until("service started");
    service.child.kill("SIGINT");
    await service.until("service is stopping");
    service.child.kill("SIGTERM");
    service.child.kill("SIGHUP");
    service.child.kill("SIGINT"); // the same key press, told by somebody else
    await sleep(100);
    expect(messages(service)).not.toContain("second SIGINT: exiting at once");
    while (service.child.exitCode === null) {
      service.child.kill("SIGINT");
      await sleep(50);
    }
    expect(await service.ended).toMatchObject({ code: 1, signal: null });
    expect(messages(service)).toContain("second SIGINT: exiting at once");
  });

  test.each([
    ["start fails", "service could not start", "no Redis"],
    ["unhandled rejection", "unhandled rejection", "forgotten"],
    ["uncaught exception", "uncaught exception", "incompatible receiver"],
    ["give up", "service gave up", "lost Redis for good"],
  ])("%s: is logged, everything is stopped in order, exit code 1", async (scenario, msg, why) => {
    using service = startFixture(fixture, [scenario]);
    expect(await service.ended).toMatchObject({ code: 1, stray: "" });
    const err = expect.objectContaining({ message: expect.stringContaining(why) });
    expect(service.lines).toContainEqual(expect.objectContaining({ level: "error", msg, err }));
    expect(messages(service).slice(-5)).toEqual([
      "second stopped",
      "stop step ended",
      "first stopped",
      "stop step ended",
      "service stopped",
    ]);
  });

  test("may stop itself, cleanly", async () => {
    using service = startFixture(fixture, ["stop"]);
    expect(await service.ended).toMatchObject({ code: 0 });
    expect(service.lines).toContainEqual(expect.objectContaining({ why: "nothing left to do" }));
  });

  test("that is told to stop while it starts has not failed", async () => {
    using service = startFixture(fixture, ["start is interrupted"]);
    await service.until("starting");
    service.child.kill("SIGTERM");
    expect(await service.ended).toMatchObject({ code: 0 });
    expect(messages(service)).not.toContain("service started");
  });

  test("goes on stopping in order when an error turns up meanwhile, and its own signal's reason is none", async () => {
    using service = startFixture(fixture, ["error while stopping"]);
    await service.until("service started");
    service.child.kill("SIGTERM");
    expect(await service.ended).toMatchObject({ code: 1 });
    const errors = service.lines.filter(({ level }) => level === "error");
    expect(errors).toMatchObject([{ msg: "unhandled rejection", err: { message: "torn down" } }]);
    expect(messages(service)).toContain("first stopped");
  });

  test.skipIf(!existsSync("/dev/full"))(
    "does its work, and stops cleanly, when no log line can be written",
    async () => {
      await using folder = await mkdtempDisposable(join(tmpdir(), "comfyq-service-"));
      await using full = await open("/dev/full", "w");
      const exitFile = join(folder.path, "exit");
      using service = startFixture(fixture, ["stop", exitFile], { stderr: full.fd });
      expect(await service.ended).toMatchObject({ code: 0 });
      expect(await readFile(exitFile, "utf8")).toBe("exit 0");
    },
  );

  test("stops in order when its parent is killed, although nobody reads its log any more", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "comfyq-service-"));
    const exitFile = join(folder.path, "exit");
    using parent = startFixture(parentFixture, [exitFile]);
    await parent.until("service started");
    parent.child.kill("SIGKILL");
    const exit = vi.waitFor(() => readFile(exitFile, "utf8"), { timeout: 15_000 });
    await expect(exit.finally(() => killIfAlive(Number(parent.lines[0]?.["pid"])))).resolves.toBe("exit 0");
  });
});

/** So that a test that fails leaves no process behind. */
function killIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended, as it should
  }
}
