/** Every Redis name. BullMQ's own keys stand under `<prefix>:<queue>:`; ours beside them, and no queue is named like them. */
export interface Names {
  readonly prefix: string;
  jobsQueue(pool: string): string;
  readonly settlementsQueue: string;
  readonly deliveriesQueue: string;
  readonly schedulesQueue: string;
  readonly ticksQueue: string;
  readonly answersQueue: string;
  /** BullMQ's key of a queue: `bull(queue, "prioritized")`. */
  bull(queue: string, key: string): string;
  /** Hash: what was submitted, and what was asked since. */
  record(jobId: string): string;
  /** Hash: `<epoch>` → attempt, `progress` of each epoch. The journal. */
  attempts(jobId: string): string;
  /** Stream: status, progress, output, log. */
  events(jobId: string): string;
  /** Channel: a notice that `events` grew, or a preview, which is not kept. */
  watch(jobId: string): string;
  /** Channel: ids of jobs somebody wants canceled. */
  readonly cancels: string;
  /** Sorted set by creation: all jobs of a tenant, or those with one tag. */
  index(tenant: string, tag?: string): string;
  /** Sorted set by the moment to look again: who may be swept. */
  readonly retention: string;
  /** Sorted set by the moment to look, on Redis's clock: jobs with `expires_in_s`, and those to be canceled. */
  readonly expiring: string;
  /** Set: taken out of the queue, parent not yet freed. Empty but for a crash in between. */
  readonly withdrawn: string;
  readonly pools: string;
  readonly workers: string;
  worker(workerId: string): string;
  classes(fingerprint: string): string;
  /** Sorted set by last beat: the workers of a pool that take jobs. */
  poolWorkers(pool: string): string;
  /** Set: who ever submitted a job. */
  readonly tenants: string;
  /** Hash: `t:<tenant>` → what holds for that tenant, `*` → for all others, `version`. */
  readonly limits: string;
  /** Hash: job → its lock, for those of a tenant that is limited which workers hold. */
  seats(tenant: string): string;
  /** Sorted set by priority, then by who came first: jobs of a pool that wait for a seat. */
  line(tenant: string, pool: string): string;
  /** Set: the lines in which anybody may stand, as `<tenant> <pool>`. */
  readonly lines: string;
  readonly lineCounter: string;
  /** Hash: API calls that a tenant has left. */
  tokens(tenant: string): string;
  /** Hash: GPU time by day, and how many jobs end, counted with less and less weight. */
  usage(tenant: string): string;
  /** Hash: how long jobs of one shape take, and all together (`*`). */
  spans(pool: string): string;
  /** Hash: how many jobs end there, counted with less and less weight. */
  pace(pool: string): string;
  /** String: all that an instance told of its node classes, compressed, by its hash. */
  objectInfo(sha256: string): string;
  /** String: the names of all of an instance's models, compressed, by its hash. */
  modelLists(sha256: string): string;
  /** Sorted set by creation: a tenant's jobs that have not ended. One that has may stand here for a moment longer. */
  open(tenant: string): string;
  /** Sorted set by their end: a tenant's jobs that have, as ComfyUI's history shows them; hidden ones are taken out. */
  ended(tenant: string): string;
  /** String: the newest number of a tenant's prompts. */
  promptNumber(tenant: string): string;
  /** Hash: what a tenant keeps with us on one shelf, by name; and its bytes together. */
  notes(tenant: string, shelf: string): string;
  notesSize(tenant: string, shelf: string): string;
  /** Channel: changes of a tenant's queue; and frames of prompts that name no client. */
  prompts(tenant: string): string;
  /** Channel: frames for one client of a tenant. */
  frames(tenant: string, clientId: string): string;
  /** Hash: which worker owns this ComfyUI; gone when it has not said so for a while. */
  instance(key: string): string;
  /** Hash: class_type → the longest silence seen of it. */
  silences(pool: string): string;
  /** Sorted set by last use: uploaded assets that a job may name, as `<tenant>/<id>`. */
  readonly assets: string;
  /** Hash: how many jobs name each of them. */
  readonly assetJobs: string;
  /** Sorted set by the moment it began: those that are being removed from the store. */
  readonly assetRemovals: string;
  /** String that expires: a key that may be used once was used. */
  usedKey(tenant: string, key: string): string;
  /** String: a CacheEntry. */
  cached(tenant: string, key: string): string;
  /** Sorted set by last use: what is cached, as `<tenant>:<key>`. */
  readonly cachedByUse: string;
  /** Hash: which of several identical jobs renders for all of them. */
  flight(tenant: string, key: string): string;
  /** Sorted set by when they came: the jobs that wait for what it renders. */
  followers(tenant: string, key: string): string;
  /** Hash: what was asked for in one call, and how far it is. */
  batch(batchId: string): string;
  /** Hash: values of its rows, by hundreds. */
  batchRows(batchId: string): string;
  /** String: a letter for each row. */
  batchStates(batchId: string): string;
  /** Hash: how often a row was retried; only of those that were. */
  batchTries(batchId: string): string;
  /** Sorted set by creation: its jobs. */
  batchJobs(batchId: string): string;
  /** Sorted set by creation: the batches of a tenant. */
  batchIndex(tenant: string): string;
  /** Sorted set by the moment to look, on Redis's clock: batches whose jobs are to be made or canceled, or whose end is to be told. */
  readonly batchCare: string;
  /** Sorted set by the moment from which it may be swept: batches that have ended. */
  readonly batchRetention: string;
  /** Hash: how many jobs of each pool's batches are still to be made; they count as waiting. */
  readonly reserved: string;
  /** Hash: tenant → such rows of its batches, in all pools. */
  readonly promised: string;
  /** Sorted set by turn: the jobs of one level that belong to no batch, as far as they may wait. */
  singles(pool: string, bullPriority: number): string;
  /** String: the furthest turn that a child of any batch was given in one level. */
  crowd(pool: string, bullPriority: number): string;
  /** Hash: a tenant's webhook endpoints, by id. */
  endpoints(tenant: string): string;
  /** Set: the types of event that its enabled endpoints want. */
  wanted(tenant: string): string;
  /** Set: ids of its jobs in a pool that have not ended, since an endpoint wants to hear when there are none. */
  busy(tenant: string, pool: string): string;
  /** Hash: how often `busy` became empty, and which end is to be told for it. */
  idle(tenant: string, pool: string): string;
  /** Hash: which secrets its webhooks of jobs are signed with. */
  signing(tenant: string): string;
  /** Hash: one schedule, and how far it has come. */
  schedule(tenant: string, name: string): string;
  /** Sorted set by name: the schedules of a tenant. */
  scheduleNames(tenant: string): string;
  /** Sorted set by the moment to look, on Redis's clock: schedules that are to fire, as `<tenant>/<name>`. */
  readonly schedulesDue: string;
  /** Hash: what came of the moments of one schedule, by its id. */
  scheduleTicks(id: string): string;
  /** Sorted set of the same, by moment. */
  scheduleTickIndex(id: string): string;
  /** Set: jobs of a schedule that are not known to have ended. */
  scheduleOpen(id: string): string;
  /** Hash: where a delivery goes, and its tries. */
  delivery(id: string): string;
  /** Sorted set by creation: a tenant's deliveries; all, those that failed, or those of one job or endpoint. */
  deliveryIndex(tenant: string, part?: "failed" | `job:${string}` | `endpoint:${string}`): string;
  /** Sorted set by the moment to look again: which deliveries may be swept. */
  readonly deliveryRetention: string;
  /** Sorted sets `<host>:active` (by the end of the lease) and `<host>:line` (by arrival): deliveries under way, and waiting. */
  gate(host: string): string;
  /** Set: hosts with a line. With a part: hosts by until when they count as swift or slow, and what the others share. */
  gates(part?: "swift" | "slow" | "cautious" | "cautious-line"): string;
  /** String: the webhook of this job answered 410 Gone. */
  hookGone(jobId: string): string;
  /** Hash: for how long an endpoint has accepted nothing. */
  endpointFailures(endpointId: string): string;
}

export const DEFAULT_PREFIX = "comfyq";

/** With Redis Cluster the prefix must stand in braces: `{comfyq}`. */
export function namesUnder(prefix: string): Names {
  const at = (...parts: string[]) => [prefix, ...parts].join(":");
  return {
    prefix,
    jobsQueue: (pool) => `jobs-${pool}`,
    settlementsQueue: "settlements",
    deliveriesQueue: "deliveries",
    schedulesQueue: "schedules",
    ticksQueue: "ticks",
    answersQueue: "answers",
    bull: (queue, key) => at(queue, key),
    record: (jobId) => at("record", jobId),
    attempts: (jobId) => at("attempts", jobId),
    events: (jobId) => at("events", jobId),
    watch: (jobId) => at("watch", jobId),
    cancels: at("cancels"),
    index: (tenant, tag) => (tag === undefined ? at("index", tenant) : at("index", tenant, "tag", tag)),
    retention: at("retention"),
    expiring: at("expiring"),
    withdrawn: at("withdrawn"),
    pools: at("pools"),
    workers: at("workers"),
    worker: (workerId) => at("worker", workerId),
    classes: (fingerprint) => at("classes", fingerprint),
    poolWorkers: (pool) => at("workers", pool),
    tenants: at("tenants"),
    limits: at("limits"),
    seats: (tenant) => at("seats", tenant),
    line: (tenant, pool) => at("line", tenant, pool),
    lines: at("lines"),
    lineCounter: at("line-counter"),
    tokens: (tenant) => at("tokens", tenant),
    usage: (tenant) => at("usage", tenant),
    spans: (pool) => at("spans", pool),
    pace: (pool) => at("pace", pool),
    objectInfo: (sha256) => at("object-info", sha256),
    modelLists: (sha256) => at("model-lists", sha256),
    open: (tenant) => at("open", tenant),
    ended: (tenant) => at("ended", tenant),
    promptNumber: (tenant) => at("prompt-number", tenant),
    notes: (tenant, shelf) => at("notes", tenant, shelf),
    notesSize: (tenant, shelf) => at("notes-size", tenant, shelf),
    prompts: (tenant) => at("prompts", tenant),
    frames: (tenant, clientId) => at("frames", tenant, clientId),
    instance: (key) => at("instance", key),
    silences: (pool) => at("silences", pool),
    assets: at("assets"),
    assetJobs: at("asset-jobs"),
    assetRemovals: at("asset-removals"),
    usedKey: (tenant, key) => at("used-key", tenant, key),
    cached: (tenant, key) => at("cached", tenant, key),
    cachedByUse: at("cached-by-use"),
    flight: (tenant, key) => at("flight", tenant, key),
    followers: (tenant, key) => at("followers", tenant, key),
    batch: (batchId) => at("batch", batchId),
    batchRows: (batchId) => at("batch", batchId, "rows"),
    batchStates: (batchId) => at("batch", batchId, "states"),
    batchTries: (batchId) => at("batch", batchId, "tries"),
    batchJobs: (batchId) => at("batch", batchId, "jobs"),
    batchIndex: (tenant) => at("batches", tenant),
    batchCare: at("batch-care"),
    batchRetention: at("batch-retention"),
    reserved: at("reserved"),
    promised: at("promised"),
    singles: (pool, bullPriority) => at("singles", pool, String(bullPriority)),
    crowd: (pool, bullPriority) => at("crowd", pool, String(bullPriority)),
    endpoints: (tenant) => at("endpoints", tenant),
    wanted: (tenant) => at("wanted", tenant),
    busy: (tenant, pool) => at("busy", tenant, pool),
    idle: (tenant, pool) => at("idle", tenant, pool),
    signing: (tenant) => at("signing", tenant),
    schedule: (tenant, name) => at("schedule", tenant, name),
    scheduleNames: (tenant) => at("schedule-names", tenant),
    schedulesDue: at("schedules-due"),
    scheduleTicks: (id) => at("schedule-ticks", id),
    scheduleTickIndex: (id) => at("schedule-tick-index", id),
    scheduleOpen: (id) => at("schedule-open", id),
    delivery: (id) => at("delivery", id),
    deliveryIndex: (tenant, part) => (part === undefined ? at("sent", tenant) : at("sent", tenant, part)),
    deliveryRetention: at("delivery-retention"),
    gate: (host) => at("gate", host),
    gates: (part) => (part === undefined ? at("gates") : at("gates", part)),
    hookGone: (jobId) => at("hook-gone", jobId),
    endpointFailures: (endpointId) => at("endpoint-failures", endpointId),
  };
}
