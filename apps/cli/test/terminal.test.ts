import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import type { ChildEvent } from "../src/up/superviseChild.ts";
import { createTerminal, type Verbosity } from "../src/up/terminal.ts";

/** What a human sees of these events. */
async function seen(verbosity: Verbosity, events: readonly ChildEvent[]): Promise<readonly string[]> {
  const out = Object.assign(new PassThrough(), { isTTY: false, hasColors: () => false });
  // A stream that is no terminal: nothing but write() and `isTTY` is used of it then.
  const terminal = createTerminal(out as unknown as NodeJS.WriteStream, verbosity);
  for (const event of events) terminal.show(event);
  out.end();
  return (await text(out)).trimEnd().split("\n");
}

const line = (name: string, words: string, isWarning: boolean): ChildEvent => ({
  kind: "line",
  name,
  isWarning,
  text: words,
});
const away = line("api", "warn redis is away", true);
const died: ChildEvent = { kind: "died", name: "api", how: "ended with code 7", restartInMs: 500 };

test("a human sees warnings, each once in a while, and every death and return", async () => {
  const events = [
    line("api", "info ready", false),
    away,
    away,
    died,
    died,
    { kind: "back", name: "api" } as const,
    away,
  ];
  expect(await seen("warnings", events)).toEqual([
    "api         warn redis is away",
    "api         ended with code 7 without being asked to; starting it again in 0.5 s",
    "api         ended with code 7 without being asked to; starting it again in 0.5 s",
    "api         is running again",
  ]);
  const others = [away, line("api", "warn another thing", true), away, { ...away, name: "worker-1" }];
  expect(await seen("warnings", others)).toHaveLength(4);
});

test("with --verbose a human sees everything", async () => {
  expect(await seen("all", [line("api", "info ready", false), away, away])).toHaveLength(3);
});
