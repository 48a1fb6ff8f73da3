import { expect, test } from "vitest";
import { renameOutput } from "../src/answer/renameOutput.ts";

test.each([
  ["one_00001_.png", "one", "two", "two_00001_.png"],
  ["sub-one_00001_.png", "sub/one", "two", "two_00001_.png"],
  ["one_00001_.png", "one", "sub\\two", "sub-two_00001_.png"],
  ["9-one_00001_.png", "one", "two", "9-two_00001_.png"],
  ["one_00001_.png", "one", "one", "one_00001_.png"],
  ["2026-one.png", "%date%-one", "two", "2026-one.png"],
  ["clip_one.mp4", "one", "two", "clip_one.mp4"],
  ["_00001_.png", "", "two", "_00001_.png"],
])("%s of a node that said %j is called %j's name in the copy: %s", (name, from, to, wanted) => {
  expect(renameOutput(name, { nodeId: "9", from, to })).toBe(wanted);
});

test("a name that nobody vouches for does not lead out of the job's own place", () => {
  const name = renameOutput("one_1.png", { nodeId: "9", from: "one", to: "../../other/x" });
  expect(name).not.toMatch(/[/\\]|\.\./);
  expect(renameOutput("one_1.png", { nodeId: "9", from: undefined, to: "two" })).toBe("one_1.png");
});
