import { describe, expect, test } from "vitest";
import { judge } from "../src/verdict.ts";
import type { HistoryEntry, HistoryMessage } from "../src/wire/index.ts";

function entryWith(statusStr: string, ...messages: HistoryMessage[]): HistoryEntry {
  return { outputs: {}, status: { status_str: statusStr, completed: statusStr === "success", messages } };
}

function error(exception_type: string, exception_message: string): HistoryMessage {
  const node = { prompt_id: "p", node_id: "3", node_type: "KSampler", executed: [] };
  const current_inputs = { api_key: ["sk-secret"] };
  return [
    "execution_error",
    { ...node, exception_type, exception_message, traceback: ["File a.py"], current_inputs, current_outputs: [] },
  ];
}

const OOM_TEXT = "Allocation on device \nThis error means you ran out of memory on your GPU.\n\nTIPS: …";

/** Situations of reference/comfyui-protocol.md §3.5 (and §6.1 for the cloud's names). */
const errors: readonly [string, string, string][] = [
  ["torch.OutOfMemoryError", OOM_TEXT, "out_of_memory"],
  ["torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB", "out_of_memory"],
  ["torch.AcceleratorError", OOM_TEXT, "out_of_memory"],
  ["torch.AcceleratorError", "CUDA error: out of memory\nCUDA kernel errors…", "out_of_memory"],
  ["OOMError", "the worker ran out of memory", "out_of_memory"],
  ["torch.AcceleratorError", "CUDA error: device-side assert triggered\n", "cuda_fault"],
  ["RuntimeError", "CUDA error: an illegal memory access was encountered\n", "cuda_fault"],
  ["OSError", "[Errno 28] No space left on device", "disk_full"],
  ["RuntimeError", "mat1 and mat2 shapes cannot be multiplied (77x768 and 4096x320)\n", "node_failed"],
  ["FileNotFoundError", "Model in folder 'loras' with filename 'x.safetensors' not found.\n", "node_failed"],
  ["ValueError", "boom\n", "node_failed"],
  ["graph.DependencyCycleError", "Dependency cycle detected\n", "node_failed"],
  ["Exception", "Unauthorized: Please login first to use this node.\n", "unauthorized"],
  ["Exception", "Payment Required: Please add credits to your account\n", "payment_required"],
  ["Exception", "Rate Limit Exceeded: Please try again later\n", "rate_limited"],
  ["InsufficientFundsError", "no credits", "payment_required"],
  ["InactiveSubscriptionError", "no plan", "payment_required"],
  ["comfy_api_nodes.util.ProcessingInterrupted", "Task cancelled", "interrupted"],
];

describe("what a failed prompt means", () => {
  test.each(errors)("%s: %s", (type, message, code) => {
    const verdict = judge("p", entryWith("error", error(type, message)));
    expect(verdict).toMatchObject({
      kind: "failed",
      error: { code, facts: { promptId: "p", failure: { node_id: "3", class_type: "KSampler" } } },
    });
  });

  test("inputs, which can hold secrets, are in neither message nor facts", () => {
    const verdict = judge("p", entryWith("error", error("ValueError", "boom")));
    const text = verdict.kind === "failed" ? verdict.error.message + JSON.stringify(verdict.error.facts) : "";
    expect(text).toContain("boom");
    expect(text).not.toContain("sk-secret");
  });

  test("an execution_error outweighs a status that still says success", () => {
    expect(judge("p", entryWith("success", error("ValueError", "boom"))).kind).toBe("failed");
  });

  test("an interruption is told apart from a failure, though both say error", () => {
    const at: HistoryMessage = [
      "execution_interrupted",
      { prompt_id: "p", node_id: "3", node_type: "KSampler", executed: [] },
    ];
    expect(judge("p", entryWith("error", at))).toMatchObject({ error: { code: "interrupted" } });
  });

  test("an error without any message is still a failure", () => {
    expect(judge("p", entryWith("error"))).toMatchObject({ error: { code: "node_failed" } });
  });

  test("an entry without a status, as servers of 2023 wrote it, is a success", () => {
    expect(judge("p", { outputs: {} }).kind).toBe("success");
  });
});
