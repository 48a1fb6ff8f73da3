import type { Rendered } from "@comfyq/comfyui";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { wantedFiles } from "./storeOutputs.ts";

/** Asks how large the results are, so that a backlog is known by its bytes before they are stored. Never rejects. */
export async function weighOutputs(run: AttemptRun, { outputs }: Rendered, { comfyui }: Tools): Promise<void> {
  const { signal } = run;
  const ask = wantedFiles(outputs).map((file) => comfyui.sizeOf(file, { signal }).catch(() => undefined));
  const sizes = await Promise.all(ask);
  run.weigh(sizes.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0));
}
