import type { RecordRequest } from "@comfyq/queue";
import { isModel } from "../models/modelWish.ts";
import { expectedOf } from "./check/expectedOf.ts";
import type { InputWish } from "./stageInput.ts";

/** Every source of a job once, labelled by the first that names it; models are placed in a way of their own. */
export function wishesOf({ workflow, inputs, files }: RecordRequest): readonly InputWish[] {
  const wishes = new Map<string, InputWish>();
  for (const [label, source] of [...Object.entries(inputs), ...Object.entries(files)]) {
    if (isModel(label)) continue;
    const key = JSON.stringify(source);
    if (!wishes.has(key)) wishes.set(key, { source, label, expected: expectedOf(workflow, label) });
  }
  return [...wishes.values()];
}
