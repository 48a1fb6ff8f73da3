import { assetIdOf, assetIdsOf, assetKeys, type InputSource, type NewJob } from "@comfyq/contract";
import { modelRules } from "@comfyq/runtime";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import { checkWebhookUrl } from "../webhooks/checkWebhookUrl.ts";
import { checkClasses, checkGraph, hasUnknownClass } from "./checkGraph.ts";
import { checkModelsFolder } from "./checkModels.ts";
import { checkSources } from "./checkSources.ts";
import { keepDataUris } from "./keepDataUris.ts";
import { writeParams } from "./writeParams.ts";

/**
 * Says whether a job makes sense, and returns it as it will run. Whatever can be known without a download is told now and
 * not after an hour in the queue.
 * @throws ApiError with every fault of one kind
 */
export async function checkSubmission(rooms: Rooms, tenant: string, asked: NewJob): Promise<NewJob> {
  const { job: written, isRandom } = writeParams(asked);
  // A seed that was just rolled has no result yet, and none that anybody could ask for again, but on purpose.
  const job = { ...written, cache: asked.cache ?? (isRandom ? undefined : rooms.settings.COMFYQ_CACHE) };
  checkGraph(job.workflow);
  checkSources(job, modelRules(rooms.settings));
  if (job.webhook) checkWebhookUrl(rooms, job.webhook.url, { path: "webhook.url" });
  await Promise.all([checkAgainstPool(rooms, job), checkModelsFolder(rooms, job), checkAssets(rooms, tenant, job)]);
  return keepDataUris(rooms, tenant, job); // last: rubbish leaves nothing behind
}

async function checkAgainstPool(rooms: Rooms, { workflow, pool }: NewJob): Promise<void> {
  const remembered = await rooms.classes(pool, "cached");
  const isStale = remembered !== undefined && hasUnknownClass(workflow, remembered);
  const known = isStale ? await rooms.classes(pool, "fresh") : remembered;
  if (known) checkClasses(workflow, pool, known);
}

/** @throws ApiError `missing_asset` */
export async function checkAssets(rooms: Rooms, tenant: string, job: Pick<NewJob, "inputs" | "files">): Promise<void> {
  const ids = assetIdsOf(job);
  if (ids.length === 0) return;
  const { atMs, going } = await rooms.producer.touchAssets(tenant, ids); // first: none is swept from here on
  const found = await Promise.all(ids.map((id) => rooms.storage.head(assetKeys(tenant, id).description)));
  const absent = ids.filter((_, at) => found[at] === undefined);
  if (absent.length > 0) await rooms.producer.untouchAssets(tenant, absent, atMs);
  const missing = ids.filter((id) => absent.includes(id) || going.includes(id));
  if (missing.length === 0) return;
  const places = [...Object.entries(job.inputs).map(at("inputs")), ...Object.entries(job.files).map(at("files"))];
  throw new ApiError("missing_asset", `There is no asset ${missing.join(", ")}; upload it with POST /v1/assets first`, {
    details: places
      .filter(({ source }) => missing.includes(assetIdOf(source) ?? ""))
      .map(({ path, source }) => ({ path, message: `${source.url} is not there` })),
  });
}

function at(field: string) {
  return ([name, source]: [string, InputSource]) => ({ path: `${field}.${name}`, source });
}
