import type { ObjectInfo } from "@comfyq/comfyui/wire";
import { expect, test } from "vitest";
import { fingerprintOf } from "../src/instance/learnInstance.ts";

const info = (checkpoints: readonly string[], stepsDefault = 20): ObjectInfo => ({
  Loader: {
    name: "Loader",
    input: { required: { ckpt_name: [[...checkpoints], { tooltip: checkpoints.join() }] } },
    output: ["MODEL", [...checkpoints]],
  },
  Sampler: {
    name: "Sampler",
    input: {
      required: { steps: ["INT", { default: stepsDefault }] },
      optional: { scheduler: ["COMBO", { options: [...checkpoints] }] },
    },
    output: ["LATENT"],
  },
});

test("instances with other model files are alike; another version, class, input or default makes another kind", () => {
  const known = fingerprintOf("0.33.0", info(["a.safetensors"]));
  expect(fingerprintOf("0.33.0", info(["b.safetensors", "c.safetensors"]))).toBe(known);
  expect(fingerprintOf("0.34.0", info(["a.safetensors"]))).not.toBe(known);
  expect(fingerprintOf("0.33.0", info(["a.safetensors"], 30))).not.toBe(known);
  expect(fingerprintOf("0.33.0", { ...info([]), More: { name: "More" } })).not.toBe(known);
});
