import { COMFYQ_NAMESPACE, uuidV5 } from "@comfyq/contract";
import { ApiError, toApiError } from "../../errors.ts";
import { idempotencyKey } from "../../idempotency.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";

/**
 * Does something for which a request's Idempotency-Key may be used once, as Comfy API v2 has it: any later request with the
 * key is refused. The key is free again when nothing can have come of the first one; when that is not known, it stays used.
 * @param work says `sent` when from here on a failure may hide a success
 * @throws ApiError `idempotency_key_reuse`; whatever `work` throws
 */
export async function useOnce(rooms: Rooms, call: Call, work: (sent: () => void) => Promise<void>): Promise<void> {
  const shown = idempotencyKey(call.req);
  if (shown === undefined) return work(() => {});
  const { tenant } = call.caller;
  const key = uuidV5(shown, COMFYQ_NAMESPACE); // of one length, and nothing of what a client may write into Redis's names
  if (!(await rooms.producer.claimKey(tenant, key)))
    throw new ApiError(
      "idempotency_key_reuse",
      "This Idempotency-Key was used before, and each can be used once in 24 hours; look for the job that it made, or use a new one",
    );
  let mayHaveHappened = false;
  try {
    await work(() => {
      mayHaveHappened = true;
    });
  } catch (error) {
    if (!mayHaveHappened || isRefusal(toApiError(error))) await giveBack(rooms, tenant, key);
    throw error;
  }
}

/** Was it said no to, so that nothing came of it? A full queue says so with 503. */
function isRefusal({ status, code }: ApiError): boolean {
  return status < 500 || code === "queue_full";
}

/** If that fails, too, the key stays used: no worse than not knowing. */
async function giveBack({ producer, logger }: Rooms, tenant: string, key: string): Promise<void> {
  await producer.releaseKey(tenant, key).catch((err: unknown) => {
    logger.warn({ err }, "an Idempotency-Key could not be given back");
  });
}
