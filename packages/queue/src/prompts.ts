import type { JobFacts, PromptOrigin, Workflow } from "@comfyq/contract";
import type { Redis } from "ioredis";
import { connectRedis } from "./connection.ts";
import { orUnavailable } from "./errors.ts";
import { readModelLists, readObjectInfo } from "./fleet.ts";
import { countOpen, endedJobs, type HistoryPage, hideJobs, isInHistory, openJobs, openPromptsOf } from "./openJobs.ts";
import { decodeNotice, type HeardNotice } from "./promptNotices.ts";
import { readRecord, readRequest } from "./record.ts";
import type { QueueRoom } from "./room.ts";

/** What is kept of a job for who asks for it as a prompt. */
export interface PromptPapers {
  readonly createdAtMs: number;
  /** Undefined: it came in another way. */
  readonly prompt: PromptOrigin | undefined;
  /** As submitted. */
  readonly workflow: Workflow;
  readonly extraData: Readonly<Record<string, unknown>>;
  /** What its worker kept of ComfyUI's history. */
  readonly entry: string | undefined;
}

/** A tenant's jobs as one ComfyUI would have them. Everything throws QueueError `unavailable` as the producer does. */
export interface Prompts {
  /** The next number of a tenant's prompts, from 0. */
  nextNumber(tenant: string): Promise<number>;
  countOpen(tenant: string): Promise<number>;
  /** Those that have not ended, oldest first, at most so many. */
  open(tenant: string, limit: number): Promise<readonly JobFacts[]>;
  /** The same of one client, or (null) of none; looks at no more than so many of the tenant's. */
  openOf(tenant: string, clientId: string | null, limit: number): Promise<readonly JobFacts[]>;
  /** Ids of those that have ended and are not hidden, in the order of their ends. */
  ended(tenant: string, page: HistoryPage): Promise<readonly string[]>;
  /** Has it ended, and is not hidden? */
  isInHistory(tenant: string, jobId: string): Promise<boolean>;
  /** They stay what they are, and are not in the history any more. */
  hide(tenant: string, which: readonly string[] | "all"): Promise<void>;
  /** Undefined for an unknown id and for another tenant's alike. */
  papers(tenant: string, jobId: string): Promise<PromptPapers | undefined>;
  /** What instances told of their node classes, compressed, by its hash. */
  objectInfo(sha256: string): Promise<Buffer | undefined>;
  /** What one told of its models, likewise. */
  modelLists(sha256: string): Promise<Buffer | undefined>;
  /**
   * Hears what happens to a tenant's queue, and with a client id the frames for that client, in order.
   * @returns the way out
   */
  listen(tenant: string, clientId: string | undefined, hear: (heard: HeardNotice) => void): Promise<() => void>;
  close(): void;
}

export function openPrompts(room: QueueRoom, redisUrl: string): Prompts {
  const ears = openEars(redisUrl);
  const { redis, names } = room;
  return {
    nextNumber: (tenant) =>
      orUnavailable(
        "a prompt was numbered",
        redis.incr(names.promptNumber(tenant)).then((count) => count - 1),
      ),
    countOpen: (tenant) => orUnavailable("jobs were counted", countOpen(room, tenant)),
    open: (tenant, limit) => orUnavailable("jobs were listed", openJobs(room, tenant, limit)),
    openOf: (tenant, clientId, limit) =>
      orUnavailable("jobs were listed", openPromptsOf(room, tenant, { clientId, limit })),
    ended: (tenant, page) => orUnavailable("jobs were listed", endedJobs(room, tenant, page)),
    isInHistory: (tenant, jobId) => orUnavailable("a job was read", isInHistory(room, tenant, jobId)),
    hide: (tenant, which) => orUnavailable("jobs were hidden", hideJobs(room, tenant, which)),
    papers: (tenant, jobId) => orUnavailable("a job was read", papersOf(room, tenant, jobId)),
    objectInfo: (sha256) => orUnavailable("node classes were read", readObjectInfo(room, sha256)),
    modelLists: (sha256) => orUnavailable("models were read", readModelLists(room, sha256)),
    listen: (tenant, clientId, hear) =>
      ears.listen(clientId === undefined ? names.prompts(tenant) : names.frames(tenant, clientId), hear),
    close: () => ears.close(),
  };
}

async function papersOf({ redis, names }: QueueRoom, tenant: string, jobId: string): Promise<PromptPapers | undefined> {
  const [record, papers, entry] = await Promise.all([
    readRecord(redis, names, jobId),
    readRequest(redis, names, jobId),
    redis.hget(names.record(jobId), "entry"),
  ]);
  if (!record || !papers || record.tenant !== tenant) return undefined;
  const { workflow, extra_data: extraData = {} } = papers.request;
  return {
    createdAtMs: record.createdAtMs,
    prompt: record.head.prompt,
    workflow,
    extraData,
    entry: entry ?? undefined,
  };
}

type Hear = (heard: HeardNotice) => void;

/** One connection that subscribes, for all who listen in this process; opened by the first. */
function openEars(redisUrl: string) {
  const listeners = new Map<string, Set<Hear>>();
  let redis: Redis | undefined;
  const connection = (): Redis => {
    if (redis) return redis;
    redis = connectRedis(redisUrl, "worker");
    redis.on("message", (channel: string, text: string) => {
      const heard = decodeNotice(text);
      for (const hear of listeners.get(channel) ?? []) hear(heard);
    });
    return redis;
  };
  return {
    listen: async (channel: string, hear: Hear): Promise<() => void> => {
      const those = listeners.get(channel) ?? new Set();
      listeners.set(channel, those.add(hear));
      await connection().subscribe(channel);
      return () => {
        those.delete(hear);
        if (those.size > 0 || listeners.get(channel) !== those) return;
        listeners.delete(channel);
        if (redis?.status === "ready") void redis.unsubscribe(channel).catch(() => {});
      };
    },
    close: () => redis?.disconnect(),
  };
}
