import type {
  Attempt,
  Delivery,
  DeliveryDetail,
  JobFacts,
  LimitsFile,
  LimitsView,
  NodeClasses,
  WorkerBeat,
  Workflow,
} from "@comfyq/contract";
import type { Queue } from "bullmq";
import { assetRemoved, condemnAsset, type Touch, touchAssets, untouchAssets } from "./assetUses.ts";
import { type BatchDesk, openBatchDesk } from "./batches.ts";
import { boardQueues } from "./board.ts";
import { cancelJob } from "./cancelJob.ts";
import { nowMs } from "./clock.ts";
import { type RedisFacts, redisFacts } from "./connection.ts";
import type { JobSubmission, KeptBody, Submittable } from "./envelopes.ts";
import { orUnavailable } from "./errors.ts";
import { knownClasses, listWorkers, type PoolCounts, poolCounts } from "./fleet.ts";
import { followLimits, publishLimits, takeToken } from "./limits.ts";
import { showLimits } from "./limitUse.ts";
import { type DeliveryQuery, listDeliveries } from "./listDeliveries.ts";
import { type ListPage, type ListQuery, listJobs } from "./listJobs.ts";
import { type Notes, openNotes } from "./notes.ts";
import { openPrompts, type Prompts } from "./prompts.ts";
import { type ErrandCounts, errandCounts, type PoolFacts, poolFacts } from "./queueFacts.ts";
import { readDelivery } from "./readDelivery.ts";
import { readJob } from "./readJob.ts";
import { readJournal, readKeptBody, readRequest, readSubmitted } from "./record.ts";
import { type RedeliverQuery, redeliver, redeliverFailed } from "./redeliver.ts";
import { openRoom, type RoomOptions } from "./room.ts";
import { openSchedules, type Schedules } from "./schedules/openSchedules.ts";
import { type SharedJob, shareQueued } from "./shareQueued.ts";
import { claimKey, releaseKey } from "./singleUseKeys.ts";
import { type Submitted, submitJob } from "./submitJob.ts";
import { openWatcher, type WatchedEvent, type WatchQuery } from "./watchJob.ts";
import { openWebhooks, type Webhooks } from "./webhooks.ts";

/** The queue as the API uses it. Everything throws QueueError `unavailable` when Redis does not answer within a second. */
export interface Producer {
  submit(submission: JobSubmission): Promise<Submitted>;
  /** @returns undefined for an unknown id and for another tenant's alike */
  read(tenant: string, jobId: string): Promise<JobFacts | undefined>;
  /** The job as it was submitted, params applied, secrets sealed: what a retry submits again. */
  submitted(tenant: string, jobId: string): Promise<Submittable | undefined>;
  /** What is known of the body that made a job; undefined like `read`. */
  keptBody(tenant: string, jobId: string): Promise<KeptBody | undefined>;
  /** The graph as it runs or ran, params applied; undefined like `read`. */
  workflow(tenant: string, jobId: string): Promise<Workflow | undefined>;
  attempts(tenant: string, jobId: string): Promise<readonly Attempt[] | undefined>;
  list(query: ListQuery): Promise<ListPage>;
  cancel(tenant: string, jobId: string): Promise<JobFacts | undefined>;
  watch(query: WatchQuery): AsyncGenerator<WatchedEvent>;
  readonly batches: BatchDesk;
  /** Notes that these assets are wanted; they are kept from now on. */
  touchAssets(tenant: string, ids: readonly string[]): Promise<Touch>;
  /** Takes that back, for those that are not there. */
  untouchAssets(tenant: string, ids: readonly string[], atMs: number): Promise<void>;
  /** Begins to remove an asset, unless a job names it; `assetRemoved` ends it. */
  condemnAsset(tenant: string, id: string): Promise<"in_use" | "condemned">;
  assetRemoved(tenant: string, id: string): Promise<void>;
  /** Notes that a key was used, once in 24 hours. @returns false when it was used before */
  claimKey(tenant: string, key: string): Promise<boolean>;
  /** What it was used for has surely not happened. */
  releaseKey(tenant: string, key: string): Promise<void>;
  workers(): Promise<readonly WorkerBeat[]>;
  pools(): Promise<readonly PoolCounts[]>;
  /** What an operator watches, of each pool and of each queue of errands. */
  poolFacts(): Promise<readonly PoolFacts[]>;
  errandCounts(): Promise<readonly ErrandCounts[]>;
  knownClasses(pool: string): Promise<NodeClasses | undefined>;
  /**
   * A job that was just queued may be given the result of an identical one, as soon as there is one.
   * @returns true when there is, and the job is about to be answered with it
   */
  share(job: SharedJob): Promise<boolean>;
  readonly webhooks: Webhooks;
  /** Schedules of this tenant; all of them answer undefined, or false, for a name that it does not have. */
  readonly schedules: Schedules;
  /** The same jobs, for who speaks ComfyUI's own API. */
  readonly prompts: Prompts;
  readonly notes: Notes;
  /** Webhook events on their way, newest first. */
  listDeliveries(query: DeliveryQuery): ReturnType<typeof listDeliveries>;
  /** @returns undefined for an unknown id and for another tenant's alike, as `redeliver` does */
  readDelivery(tenant: string, id: string): Promise<DeliveryDetail | undefined>;
  redeliver(tenant: string, id: string): Promise<Delivery | undefined>;
  redeliverFailed(query: RedeliverQuery): ReturnType<typeof redeliverFailed>;
  /** Makes these the limits of the whole system. */
  publishLimits(limits: LimitsFile): Promise<void>;
  /** What a tenant may use, and uses. */
  limits(tenant: string): Promise<LimitsView>;
  /**
   * Counts one call of a tenant.
   * @returns seconds after which one more may be made; 0: this one may
   */
  admit(tenant: string): Promise<{ readonly waitSeconds: number; readonly perSecond: number | undefined }>;
  facts(): Promise<RedisFacts>;
  boardQueues(): Promise<readonly Queue[]>;
  close(): Promise<void>;
}

/** @throws QueueError `unavailable` when no Redis answers within 10 s, `unsafe_redis` when it can lose jobs */
export async function openProducer(options: RoomOptions): Promise<Producer> {
  const room = await openRoom(options, "producer");
  const watcher = openWatcher(room, options.redisUrl);
  const prompts = openPrompts(room, options.redisUrl);
  const closing = new AbortController();
  const limits = await followLimits(room, closing.signal);
  const owned = async <T>(tenant: string, jobId: string, read: () => Promise<T>): Promise<T | undefined> =>
    (await readJob(room, tenant, jobId)) && read();
  return {
    submit: (submission) => submitJob(room, submission),
    read: (tenant, jobId) => orUnavailable("a job was read", readJob(room, tenant, jobId)),
    submitted: (tenant, jobId) =>
      orUnavailable(
        "a job was read",
        owned(tenant, jobId, () => readSubmitted(room.redis, room.names, jobId)),
      ),
    keptBody: (tenant, jobId) => orUnavailable("a body was read", readKeptBody(room, tenant, jobId)),
    workflow: (tenant, jobId) =>
      orUnavailable(
        "a workflow was read",
        owned(tenant, jobId, async () => (await readRequest(room.redis, room.names, jobId))?.request.workflow),
      ),
    attempts: (tenant, jobId) =>
      orUnavailable(
        "attempts were read",
        owned(tenant, jobId, async () => (await readJournal(room.redis, room.names, jobId)).attempts),
      ),
    list: (query) => listJobs(room, query),
    cancel: (tenant, jobId) => cancelJob(room, tenant, jobId),
    watch: (query) => watcher.watch(query),
    batches: openBatchDesk(room),
    touchAssets: (tenant, ids) => touchAssets(room, tenant, ids),
    untouchAssets: (tenant, ids, atMs) => untouchAssets(room, tenant, ids, atMs),
    condemnAsset: (tenant, id) => condemnAsset(room, tenant, id),
    assetRemoved: (tenant, id) => assetRemoved(room, tenant, id),
    claimKey: (tenant, key) => claimKey(room, tenant, key),
    releaseKey: (tenant, key) => releaseKey(room, tenant, key),
    workers: () => orUnavailable("workers were listed", listWorkers(room)),
    poolFacts: () => orUnavailable("pools were counted", poolFacts(room)),
    errandCounts: () => orUnavailable("errands were counted", errandCounts(room)),
    pools: () => orUnavailable("pools were counted", poolCounts(room)),
    knownClasses: (pool) => orUnavailable("node classes were read", knownClasses(room, pool)),
    share: (job) => orUnavailable("a result was looked for", shareQueued(room, job)),
    webhooks: openWebhooks(room),
    schedules: openSchedules(room),
    prompts,
    notes: openNotes(room),
    listDeliveries: (query) => listDeliveries(room, query),
    readDelivery: (tenant, id) => readDelivery(room, tenant, id),
    redeliver: (tenant, id) => redeliver(room, tenant, id),
    redeliverFailed: (query) => redeliverFailed(room, query),
    publishLimits: async (file) => {
      await orUnavailable("limits were published", publishLimits(room, file));
      await orUnavailable("limits were read", limits.refresh());
    },
    limits: (tenant) => orUnavailable("limits were read", showLimits(room, limits, tenant)),
    admit: async (tenant) => {
      const perSecond = limits.of(tenant).requests_per_s ?? undefined;
      if (perSecond === undefined) return { waitSeconds: 0, perSecond };
      const waitSeconds = await orUnavailable("a call was counted", takeToken(room, tenant, perSecond));
      return { waitSeconds, perSecond };
    },
    facts: () => orUnavailable("Redis was asked what it is", redisFacts(room.redis, nowMs())),
    boardQueues: () => orUnavailable("queues were listed", boardQueues(room)),
    close: async () => {
      closing.abort();
      watcher.close();
      prompts.close();
      await room.close();
    },
  };
}
