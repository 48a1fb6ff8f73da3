import { connectRedis } from "./connection.ts";
import type { QueueRoom } from "./room.ts";

/** Tells whoever holds a job that somebody wants it canceled. */
export interface Cancels {
  /** @returns a function that stops listening */
  listen(jobId: string, heard: () => void): () => void;
  close(): void;
}

/** Subscribes on a connection of its own: one that subscribes may do nothing else. */
export async function listenForCancels(room: QueueRoom, redisUrl: string): Promise<Cancels> {
  const listeners = new Map<string, () => void>();
  const redis = connectRedis(redisUrl, "worker");
  redis.on("message", (_channel: string, jobId: string) => listeners.get(jobId)?.());
  await redis.subscribe(room.names.cancels);
  return {
    listen: (jobId, heard) => {
      listeners.set(jobId, heard);
      return () => {
        // A ghost may still be letting go of a job that this worker has claimed anew.
        if (listeners.get(jobId) === heard) listeners.delete(jobId);
      };
    },
    close: () => redis.disconnect(),
  };
}
