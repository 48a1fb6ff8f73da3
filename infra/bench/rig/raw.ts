import { openRawQueue } from "../../../packages/queue/src/testing/index.ts";
import { startMain } from "../../../packages/system-tests/test/processes.ts";

/** BullMQ alone, on the same Redis: its worker is a process of its own, as ours is. */
export interface RawBull extends AsyncDisposable {
  add(payload: unknown): Promise<void>;
  addBulk(payloads: readonly unknown[]): Promise<void>;
  /** @returns when its processor began, in Unix ms; resolves when the event of the end has come */
  addAndWait(payload: { readonly ms: number }): Promise<number>;
}

export async function openRawBull(redisUrl: string, { hasWorker }: { readonly hasWorker: boolean }): Promise<RawBull> {
  const worker = hasWorker
    ? await startMain({ name: "raw worker", file: "infra/bench/rawWorker.ts" }, { args: [redisUrl] })
    : undefined;
  const queue = await openRawQueue(redisUrl);
  return {
    add: (payload) => queue.add(payload),
    addBulk: (payloads) => queue.addBulk(payloads),
    addAndWait: async (payload) => Number(await queue.addAndWait(payload)),
    [Symbol.asyncDispose]: async () => {
      await queue[Symbol.asyncDispose]();
      await worker?.stop("SIGKILL");
    },
  };
}
