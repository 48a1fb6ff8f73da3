import type { WaitingJob } from "@comfyq/queue";
import { lendSecrets } from "../attempt/jobSecrets.ts";
import type { Tools } from "../tools.ts";
import { modelWishesOf } from "./modelWish.ts";
import { placeModel } from "./placeModel.ts";

/** Brings the models of jobs that wait. */
export interface ModelsAhead {
  /** Never throws; what fails is met again by the job's attempt, which tells. */
  begin(job: WaitingJob): void;
}

/**
 * One job's models at a time, and to their end, also when another worker takes the job meanwhile: it may share the folder
 * and wait for us, and the next job that brings them finds them there.
 */
export function createModelsAhead(tools: Tools, signal: AbortSignal): ModelsAhead {
  let isBusy = false;
  const placeAll = async (job: WaitingJob): Promise<void> => {
    const secrets = lendSecrets(job, tools.secretBox);
    const caller = { tenant: job.tenant, secrets: () => secrets.open(), signal, onProgress: () => {} };
    try {
      for (const wish of modelWishesOf(job.request.files, tools.config))
        await (await placeModel(wish, caller, tools)).release();
    } catch (cause) {
      if (!signal.aborted) tools.log.debug({ jobId: job.id, cause }, "a model could not be brought ahead");
    } finally {
      secrets.forget();
    }
  };
  return {
    begin: (job) => {
      if (isBusy || !tools.models) return;
      isBusy = true;
      void placeAll(job).finally(() => {
        isBusy = false;
      });
    },
  };
}
