import { MODEL_DESTINATION, type ModelRules, type NewJob, parseModelPlace, type Workflow } from "@comfyq/contract";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";

/** Says what is wrong with a destination `/models/<folder>/<name>`; undefined when nothing is. */
export function modelFault(workflow: Workflow, destination: string, rules: ModelRules): string | undefined {
  const { place, fault } = parseModelPlace(destination, rules);
  if (!place) return fault;
  const { folder, name } = place;
  const isNamed =
    folder === "embeddings"
      ? says(workflow, (text) => text.includes(name.replace(/\.[^.]*$/, ""))) // prompts name them: "embedding:fox"
      : says(workflow, (text) => text === name);
  return isNamed ? undefined : `no input of the workflow says ${JSON.stringify(name)}, so nothing would use it`;
}

/** Does some input hold such a text, also inside a list or an object, as loaders of custom nodes have them? */
function says(workflow: Workflow, isMeant: (text: string) => boolean): boolean {
  const left: unknown[] = Object.values(workflow).map(({ inputs }) => inputs);
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (typeof value === "string" && isMeant(value)) return true;
    if (typeof value === "object" && value !== null) left.push(...Object.values(value).filter((part) => part != null));
  }
  return false;
}

/**
 * A job that brings models can only be run where they can be put. While no worker of the pool lives nothing can be said.
 * @throws ApiError `invalid_request` when those that live have no models folder
 */
export async function checkModelsFolder({ producer }: Rooms, { files, pool }: NewJob): Promise<void> {
  const destinations = Object.keys(files).filter((destination) => destination.startsWith(MODEL_DESTINATION));
  if (destinations.length === 0) return;
  const workers = (await producer.workers()).filter((worker) => worker.pool === pool);
  if (workers.length === 0 || workers.some(({ models }) => models)) return;
  const message = `No worker of pool ${pool} may write into its ComfyUI's models folder`;
  throw new ApiError(
    "invalid_request",
    `${message}; ask the operator to set COMFYUI_MODELS_DIR, or to put the models there`,
    { details: destinations.map((destination) => ({ path: `files.${destination}`, message })) },
  );
}
