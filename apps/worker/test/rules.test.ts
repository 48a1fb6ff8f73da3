import { expect, test } from "vitest";
import { instanceKeyOf } from "../src/config.ts";
import { canaryWorkflow } from "../src/instance/canary.ts";
import { fateOf } from "../src/instance/leftovers.ts";
import { stallMsOf } from "../src/instance/stallPatience.ts";

test("one ComfyUI has one key, however its address is spelt, and every machine's own loopback is another", () => {
  const keys = ["http://LOCALHOST:8188/", "http://127.0.0.1:8188", "http://[::1]:8188"].map((url) =>
    instanceKeyOf(url, "box-a"),
  );
  expect(new Set(keys)).toEqual(new Set(["box-a:8188"]));
  expect(instanceKeyOf("http://127.0.0.1:8188", "box-b")).toBe("box-b:8188");
  expect(instanceKeyOf("http://host.docker.internal:8188", "box-a")).toBe("box-a:8188");
  expect(instanceKeyOf("https://gpu.example", "box-a")).toBe(instanceKeyOf("https://gpu.example:443/", "box-b"));
  expect(instanceKeyOf("http://gpu:8188/one")).not.toBe(instanceKeyOf("http://gpu:8188/two"));
});

test("silence is judged by what is known of a node: the setting, or five times its longest, with a floor", () => {
  const settings = { COMFYQ_STALL_S: 300, COMFYQ_STALL_FLOOR_S: 120 };
  expect(stallMsOf(undefined, settings)).toBe(300_000);
  expect(stallMsOf({ longestMs: 1_000, samples: 4 }, settings)).toBe(300_000);
  expect(stallMsOf({ longestMs: 1_000, samples: 5 }, settings)).toBe(120_000);
  expect(stallMsOf({ longestMs: 100_000, samples: 5 }, settings)).toBe(500_000);
  expect(stallMsOf({ longestMs: 100_000, samples: 5 }, { ...settings, COMFYQ_STALL_S: 0 })).toBe(0);
});

test("a prompt is rejoined when its job waits, left to a lock that may be alive, and stopped otherwise", () => {
  expect(fateOf({ kind: "waiting" }, 2)).toBe("rejoin");
  expect(fateOf({ kind: "held", epoch: 2 }, 2)).toBe("wait");
  expect(fateOf({ kind: "held", epoch: 3 }, 2)).toBe("stop");
  expect(fateOf({ kind: "ended" }, 2)).toBe("stop");
  expect(fateOf({ kind: "unknown" }, 2)).toBe("stop");
});

test("the canary uses the GPU where it can, and is never the same twice", () => {
  const classesOf = (workflow: ReturnType<typeof canaryWorkflow>) =>
    Object.values(workflow).map(({ class_type }) => class_type);
  expect(classesOf(canaryWorkflow({ ImageBlur: false }, 0))).toEqual(["EmptyImage", "ImageBlur", "PreviewImage"]);
  expect(classesOf(canaryWorkflow(undefined, 0))).toEqual(["EmptyImage", "PreviewImage"]);
  expect(canaryWorkflow(undefined, 0.1)).not.toEqual(canaryWorkflow(undefined, 0.2));
});
