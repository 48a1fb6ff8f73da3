import { assetIdsOf, InputSource, type NewJob } from "@comfyq/contract";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import { checkSubmission } from "../submit/checkSubmission.ts";
import { keepDataUris } from "../submit/keepDataUris.ts";
import { readSubmission } from "../submit/readSubmission.ts";
import { hideOfTemplate, objectOf } from "./hideOfTemplate.ts";
import { type ReadSchedule, sampleJob } from "./readNewSchedule.ts";

/** What is kept of a schedule's job. */
export interface CheckedTemplate {
  readonly template: Readonly<Record<string, unknown>>;
  readonly sealedSecrets: string | undefined;
  readonly sealedHeaders: string | undefined;
  readonly assets: readonly string[];
}

/**
 * Judges the job that a tick would make as if it were submitted now.
 * @throws ApiError as a submission gets it, its paths below `job`
 */
export async function checkSchedule(
  rooms: Rooms,
  tenant: string,
  { job, rule }: ReadSchedule,
): Promise<CheckedTemplate> {
  try {
    const bytes = Buffer.from(JSON.stringify(sampleJob(job, rule)));
    const read = readSubmission(bytes, { box: rooms.secretBox, tenant });
    const checked = await checkSubmission(rooms, tenant, read.job);
    const { template } = hideOfTemplate(job);
    const cache = checked.cache === undefined ? {} : { cache: checked.cache }; // the operator's default, as it is now
    const kept = await keepSources(rooms, tenant, { template, checked });
    return {
      template: { ...template, ...cache, ...kept },
      sealedSecrets: read.sealedSecrets,
      sealedHeaders: read.sealedHeaders,
      assets: assetIdsOf(checked),
    };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const details = error.details.map(({ path, message }) => ({ path: `job.${path}`, message }));
    throw new ApiError(error.code, `The schedule's job cannot be taken: ${error.message}`, { cause: error, details });
  }
}

interface Sources {
  readonly template: Readonly<Record<string, unknown>>;
  readonly checked: NewJob;
}

/** The bytes of data URIs go to the store, as those of a job do; every other source stays as it was written. */
async function keepSources(rooms: Rooms, tenant: string, { template, checked }: Sources) {
  const inputs = dataSources(template["inputs"]);
  const files = dataSources(template["files"]);
  const kept = await keepDataUris(rooms, tenant, { ...checked, inputs, files });
  const merge = (name: "inputs" | "files") =>
    Object.keys(kept[name]).length === 0 ? {} : { [name]: { ...objectOf(template[name]), ...kept[name] } };
  return { ...merge("inputs"), ...merge("files") };
}

function dataSources(sources: unknown): Record<string, InputSource> {
  const found = Object.entries(objectOf(sources)).flatMap(([place, source]) => {
    const { data } = InputSource.safeParse(source);
    return data?.url.startsWith("data:") ? [[place, data] as const] : [];
  });
  return Object.fromEntries(found);
}
