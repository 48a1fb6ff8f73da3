import { isBroken, withDeadline } from "@comfyq/runtime";
import { orAborted } from "../orAborted.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";

/** It is only memory of the server's. */
const FORGET_MS = 2_000;

/** Takes an ended prompt out of ComfyUI's history: nobody will go on from it any more. Never rejects. */
export async function forgetPrompt({ promptId }: AttemptRun, { comfyui, instance }: Tools): Promise<void> {
  if (promptId === undefined || isBroken("no_forget")) return; // broken for a test: it stays
  await orAborted(comfyui.forget(promptId), withDeadline(undefined, FORGET_MS)).catch(() => instance.tidyLater());
}
