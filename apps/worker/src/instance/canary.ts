import { readFile } from "node:fs/promises";
import type { ComfyUi } from "@comfyq/comfyui";
import { type NodeClasses, Workflow } from "@comfyq/contract";
import { newId, withDeadline } from "@comfyq/runtime";

/** How long a canary that failed is told to stop. */
const STOP_MS = 2_000;

/** Reads the operator's own canary. @throws Error that names the file and what is wrong with it */
export async function readCanary(path: string): Promise<Workflow> {
  try {
    return Workflow.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw new Error(`COMFYQ_CANARY_WORKFLOW ${path} is no workflow in API format; export it with Export (API)`, {
      cause,
    });
  }
}

/**
 * A workflow without a model, small enough to run anywhere. The blur is the part that uses the GPU: a broken CUDA context
 * fails there. The colour makes it another one each time, so that nothing comes from ComfyUI's cache.
 * @param dice from 0 up to 1
 */
export function canaryWorkflow(classes: NodeClasses | undefined, dice: number): Workflow {
  const color = Math.floor(dice * 0x1000000);
  const canBlur = classes?.["ImageBlur"] !== undefined;
  return {
    "1": { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color } },
    ...(canBlur && { "2": { class_type: "ImageBlur", inputs: { image: ["1", 0], blur_radius: 1, sigma: 1 } } }),
    "3": { class_type: "PreviewImage", inputs: { images: [canBlur ? "2" : "1", 0] } },
  };
}

interface CanaryFlight {
  readonly workflow: Workflow;
  readonly withinMs: number;
  readonly signal: AbortSignal;
}

/**
 * Runs a canary to its end, and tidies up after it. Only while no job of ours is at the instance.
 * @returns why it failed; undefined when it ran
 * @throws the signal's reason
 */
export async function flyCanary(comfyui: ComfyUi, flight: CanaryFlight): Promise<string | undefined> {
  const promptId = newId();
  const signal = withDeadline(flight.signal, flight.withinMs);
  try {
    const { workflow } = flight;
    const submitted = await comfyui.submit({ promptId, workflow, extraData: { comfyq: { canary: true } }, signal });
    await comfyui.watch(submitted.promptId, { signal, stallMs: 0 });
    await comfyui.forget(submitted.promptId).catch(() => {}); // a line in its history
    return undefined;
  } catch (cause) {
    flight.signal.throwIfAborted();
    await comfyui.cancel(promptId, { deadlineMs: STOP_MS, signal: flight.signal }).catch(() => {});
    if (signal.aborted) return `A canary workflow did not end within ${flight.withinMs} ms`;
    return `A canary workflow failed: ${cause instanceof Error ? cause.message : "without a reason"}`;
  }
}
