import { readFinishedOnCloud } from "./cloud.ts";
import type { SeenPrompt } from "./face.ts";
import { readQueue } from "./lookUp.ts";
import { type Asked, readFinished } from "./readHistory.ts";

/** Of the newest finished prompts; a lost answer is looked for soon. */
const NEWEST = 64;

/**
 * As `ComfyUi.seek`. What ends between the two questions is found by the second.
 * @throws ComfyError as `Http.read`
 */
export async function seekPrompt(isWanted: (prompt: SeenPrompt) => boolean, asked: Asked): Promise<string | undefined> {
  const { running, pending } = await readQueue(asked);
  const open = [...running, ...pending].find(isWanted);
  if (open) return open.promptId;
  const read = asked.dialect === "cloud" ? readFinishedOnCloud : readFinished;
  const ended = await read(NEWEST, asked);
  return ended.find((prompt) => isWanted({ ...prompt, workflow: {} }))?.promptId;
}
