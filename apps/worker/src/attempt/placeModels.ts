import type { Progress } from "@comfyq/contract";
import { monotonicMs, sleep } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import { holdModel } from "../models/holdModel.ts";
import { storeOf } from "../models/modelStore.ts";
import { type ModelWish, modelWishesOf } from "../models/modelWish.ts";
import { placeModel } from "../models/placeModel.ts";
import type { PlacedModel } from "../models/placing.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";

/** How long ComfyUI may take to see a new file: network file systems tell of changes seconds later. */
const LISTED_WITHIN_MS = 70_000;
const LOOK_AGAIN_MS = 500;

/**
 * Sees that every model the job brings is in ComfyUI's models folder, and that ComfyUI knows it. They stay until the attempt
 * leaves the GPU. The time that downloads take is not the job's: `timeout_s` stands still meanwhile.
 * @throws JobError as placeModel, and `models_unavailable` when ComfyUI does not see what was put there
 */
export async function placeModels(run: AttemptRun, tools: Tools): Promise<void> {
  const { job, signal } = run;
  const wishes = modelWishesOf(job.request.files, tools.config);
  if (wishes.length === 0) return;
  for (const wish of wishes) {
    const caller = {
      tenant: job.tenant,
      secrets: () => run.secrets.open(),
      signal,
      onProgress: showDownload(run, wish),
    };
    const model = await run.untimed(() => placeModel(wish, caller, tools));
    run.models.push(model);
    if (signal.aborted) void model.release(); // the attempt has left the GPU, and let go of its models, just before
    await untilListed(run, wish, tools);
  }
  await forgetOldContents(run.models, tools);
}

/** A prompt that an earlier attempt left uses its models still: they stay, as if this one had placed them. */
export async function holdModels(run: AttemptRun, tools: Tools): Promise<void> {
  if (!tools.models || run.models.length > 0) return;
  for (const wish of modelWishesOf(run.job.request.files, tools.config)) {
    const model = await holdModel(wish, run.signal, tools).catch(() => undefined); // it renders without our help
    if (model) run.models.push(model);
  }
  run.signal.throwIfAborted();
}

/** Tells how far it is, once for each percent. */
function showDownload({ job }: AttemptRun, { place }: ModelWish): (written: number, total: number | undefined) => void {
  let shown = "";
  return (written, total) => {
    const part = total === undefined ? `${Math.floor(written / 1e6)} MB` : `${Math.floor((100 * written) / total)} %`;
    if (part === shown) return;
    shown = part;
    job.report({ ...BEFORE_ANY_NODE, message: `downloading models/${place.folder}/${place.name} (${part})` });
  };
}

const BEFORE_ANY_NODE: Omit<Progress, "message"> = {
  value: 0,
  nodes_done: 0,
  nodes_total: 0,
  current_node: null,
  current_node_class: null,
  step: null,
  steps: null,
};

/** ComfyUI keeps lists of files by the times of their folders; a prompt that names what it does not see is refused. */
async function untilListed({ signal }: AttemptRun, { place, label }: ModelWish, tools: Tools): Promise<void> {
  if (place.extension === ".gguf") return; // listed by custom nodes only, under names of their own
  const untilMs = monotonicMs() + LISTED_WITHIN_MS * tools.config.timeScale;
  for (;;) {
    const names = await tools.comfyui.models(place.folder, { signal });
    if (!names || names.includes(place.name)) return; // a folder it does not know is a custom node's
    if (monotonicMs() > untilMs) break;
    await sleep(LOOK_AGAIN_MS * tools.config.timeScale, signal);
  }
  throw new JobError(
    "models_unavailable",
    `Model ${label} is in this worker's COMFYUI_MODELS_DIR, but ComfyUI does not list it; is that the folder it reads?`,
  );
}

/**
 * ComfyUI keeps loaded weights and results by the names of files. Where another content has a known name now, it has to
 * forget them.
 */
async function forgetOldContents(models: readonly PlacedModel[], tools: Tools): Promise<void> {
  const { contents } = storeOf(tools);
  const isOld = ({ path, content, hasPast }: PlacedModel) =>
    contents.has(path) ? contents.get(path) !== content : hasPast;
  if (models.some(isOld)) await tools.comfyui.free({ unloadModels: true, freeMemory: true });
  for (const { path, content } of models) contents.set(path, content);
}
