import type { BatchOrigin } from "@comfyq/contract";
import { assetMember } from "./assetUses.ts";
import type { Refusal } from "./errors.ts";
import { type Pace, readSpans } from "./guessEnd.ts";
import { runNamed } from "./luaScript.ts";
import { readRefusal } from "./refusal.ts";
import type { QueueRoom } from "./room.ts";
import type { SettlementPaper } from "./settlementPapers.ts";
import { SUBMIT } from "./submitScript.ts";

/** What BullMQ keeps of one of its jobs. */
export interface BullPaper {
  readonly data: string;
  readonly opts: string;
}

/** Everything that a submission writes, as text. */
export interface SubmissionPapers {
  readonly jobId: string;
  readonly tenant: string;
  readonly pool: string;
  readonly tags: readonly string[];
  readonly expiresInMs: number | undefined;
  readonly bodySha256: string;
  readonly canonicalSha256: string | undefined;
  /** Of `shapeOf`. */
  readonly shape: string;
  readonly head: string;
  readonly request: string | Buffer;
  readonly sealedSecrets: string | undefined;
  /** Ids of the assets that it names, each once. */
  readonly assets: readonly string[];
  readonly firstEvent: string;
  readonly notice: string;
  /** Tells the tenant's websockets; only of a prompt. */
  readonly promptNotice: string | undefined;
  readonly bull: BullPaper & { readonly timestampMs: number; readonly delayMs: number; readonly priority: number };
  /** The batch that it is a child of. */
  readonly batch: BatchOrigin | undefined;
  /** Written when it is due, or an endpoint of the tenant wants to hear of the end. */
  readonly settlement: SettlementPaper & { readonly isDue: boolean };
  /** Likewise, of its being queued. */
  readonly queued: BullPaper & { readonly isDue: boolean };
}

export type Written =
  /** `completed`: a record without a BullJob had been left by somebody who died. */
  | {
      readonly kind: "new" | "completed";
      readonly createdAtMs: number;
      /** 1 = next; undefined for a job that waits for its moment. */
      readonly position: number | undefined;
      readonly pace: Pace;
    }
  | { readonly kind: "known" | "reused" }
  /** The pool, or the tenant's own limit. */
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "missing"; readonly assetId: string };

export async function writeSubmission(room: QueueRoom, papers: SubmissionPapers): Promise<Written> {
  const { names } = room;
  const { tenant, tags, assets, batch } = papers;
  const answer = await runNamed(room.redis, SUBMIT, {
    keys: keysOf(room, papers),
    moreKeys: [
      names.index(tenant),
      ...tags.map((tag) => names.index(tenant, tag)),
      ...(batch ? [names.batchJobs(batch.id)] : []),
    ],
    values: valuesOf(room, papers),
    moreValues: assets.map((id) => assetMember(tenant, id)),
  });
  if (Array.isArray(answer) && (answer[0] === "full" || answer[0] === "limited"))
    return { kind: "refused", refusal: await readRefusal(room, answer.map(String), { pool: papers.pool, jobs: 1 }) };
  const [kind, createdAtMs, position, own, mean, workers, active]: readonly unknown[] = Array.isArray(answer)
    ? answer
    : [];
  if (kind === "known" || kind === "reused") return { kind };
  if (kind === "missing") return { kind, assetId: assetIdIn(String(createdAtMs)) };
  return {
    kind: kind === "completed" ? kind : "new",
    createdAtMs: Number(createdAtMs),
    position: Number(position) || undefined,
    pace: { own: readSpans(own), mean: readSpans(mean), workers: Number(workers), active: Number(active) },
  };
}

/** The other half of `assetMember`. */
function assetIdIn(member: string): string {
  return member.slice(member.indexOf("/") + 1);
}

function keysOf(
  { names }: QueueRoom,
  { jobId, tenant, pool, bull, batch }: SubmissionPapers,
): Readonly<Record<(typeof SUBMIT.keys)[number], string>> {
  const queue = `${names.bull(names.jobsQueue(pool), "")}`;
  const settlements = `${names.bull(names.settlementsQueue, "")}`;
  return {
    record: names.record(jobId),
    prioritized: `${queue}prioritized`,
    wait: `${queue}wait`,
    delayed: `${queue}delayed`,
    retention: names.retention,
    expiring: names.expiring,
    pools: names.pools,
    events: names.events(jobId),
    job: queue + jobId,
    jobCounter: `${queue}id`,
    meta: `${queue}meta`,
    marker: `${queue}marker`,
    bullEvents: `${queue}events`,
    singles: names.singles(pool, bull.priority),
    crowd: names.crowd(pool, bull.priority),
    batch: names.batch(batch?.id ?? ""),
    batchStates: names.batchStates(batch?.id ?? ""),
    reserved: names.reserved,
    promised: names.promised,
    active: `${queue}active`,
    spans: names.spans(pool),
    poolWorkers: names.poolWorkers(pool),
    limits: names.limits,
    tenants: names.tenants,
    open: names.open(tenant),
    seats: names.seats(tenant),
    usage: names.usage(tenant),
    pace: names.pace(pool),
    settlement: settlements + jobId,
    settlementDependencies: `${settlements}${jobId}:dependencies`,
    settlementCounter: `${settlements}id`,
    settlementMeta: `${settlements}meta`,
    settlementsWaiting: `${settlements}waiting-children`,
    settlementEvents: `${settlements}events`,
    assets: names.assets,
    assetJobs: names.assetJobs,
    wanted: names.wanted(tenant),
    busy: names.busy(tenant, pool),
    queuedNotice: `${settlements}${jobId}-queued`,
    settlementsWait: `${settlements}wait`,
    settlementsActive: `${settlements}active`,
    settlementsMarker: `${settlements}marker`,
  };
}

function valuesOf(
  { names, settings }: QueueRoom,
  papers: SubmissionPapers,
): Readonly<Record<(typeof SUBMIT.values)[number], string | number | Buffer>> {
  const { bull, settlement, queued } = papers;
  return {
    queueCap: settings.queueCap,
    id: papers.jobId,
    tenant: papers.tenant,
    pool: papers.pool,
    bodySha256: papers.bodySha256,
    head: papers.head,
    request: papers.request,
    sealedSecrets: papers.sealedSecrets ?? "",
    recheckMs: settings.retentionRecheckMs,
    expiresInMs: papers.expiresInMs ?? "",
    eventsLength: settings.eventStreamLength,
    eventsTtl: settings.eventStreamTtlSeconds,
    firstEvent: papers.firstEvent,
    watch: names.watch(papers.jobId),
    notice: papers.notice,
    bullData: bull.data,
    bullOpts: bull.opts,
    timestamp: bull.timestampMs,
    delay: bull.delayMs,
    priority: bull.priority,
    bullEventsLength: settings.bullEventsLength,
    beatTtlMs: Math.round(settings.beatTtlMs),
    mustSettle: settlement.isDue ? 1 : "",
    tellQueued: queued.isDue ? 1 : "",
    childOpts: settlement.childOpts,
    settlementData: settlement.data,
    settlementOpts: settlement.opts,
    settlementParent: settlement.parent,
    queuedData: queued.data,
    queuedOpts: queued.opts,
    canonicalSha256: papers.canonicalSha256 ?? "",
    shape: papers.shape,
    batchId: papers.batch?.id ?? "",
    row: papers.batch?.row ?? "",
    promptNotices: papers.promptNotice === undefined ? "" : names.prompts(papers.tenant),
    promptNotice: papers.promptNotice ?? "",
    paceMs: settings.paceMs,
  };
}
