/**
 * Every number of the queue, in one file: stalled scans share one key per queue, so the slowest process decides for all
 * (measured: 1 s became 59 s beside one process with BullMQ's default). Source: reference/bullmq.md, benchmarks.md §6.
 */
const REAL = {
  /** A worker that does not renew loses its job after this long. */
  lockMs: 10_000,
  renewMs: 3_000,
  /** Recovery after kill -9 = rest of the lock + this: 7 s measured. */
  stalledScanMs: 2_000,
  /** A holder silent for this long stops its GPU itself, before the lock can end (promise I4). */
  fenceMs: 8_000,
  fenceCheckMs: 250,
  /** Longest one blocking claim waits, in seconds; also how long a stale readiness can last. */
  drainDelaySeconds: 5,
  /** BullMQ's own limit is switched off: `poisonDeaths` decides, because it can tell a death from a give-back. */
  maxStalledCount: 1_000_000,
  /** Attempts that died without an end before the job is called poison (promise I7). */
  poisonDeaths: 2,
  reconnectCapMs: 1_000,
  /** Producers fail fast: a request is answered 503 rather than held. */
  commandTimeoutMs: 1_000,
  /** Jobs waiting or delayed in one pool before new ones are refused. */
  queueCap: 100_000,
  retentionMs: 7 * 24 * 3_600_000,
  retentionRecheckMs: 3_600_000,
  sweepRetentionEveryMs: 60_000,
  sweepExpiredEveryMs: 2_000,
  /** How often the sweeper looks whether a job that is to be canceled has been let go by its worker. */
  sweepCanceledEveryMs: 5_000,
  sweepStorageEveryMs: 3_600_000,
  sweepBatch: 200,
  /** Who makes the jobs of a batch says so more often than this; else another goes on with it. */
  batchLeaseMs: 10_000,
  careForBatchesEveryMs: 1_000,
  progressEveryMs: 250,
  previewEveryMs: 500,
  /** One job's progress is told to webhooks this often at most. */
  tellProgressEveryMs: 5_000,
  /** Entries kept of one job's event stream; a resuming client misses nothing within these. */
  eventStreamLength: 500,
  /** Since the last event. */
  eventStreamTtlSeconds: 6 * 3_600,
  /** BullMQ's own event stream per queue, which nobody here reads. */
  bullEventsLength: 1_000,
  /** A watcher looks for itself this often, in case a notice was lost. */
  watchPollMs: 5_000,
  beatEveryMs: 3_000,
  beatTtlMs: 10_000,
  /** How long a worker owns its ComfyUI after it last said so. */
  instanceLeaseMs: 10_000,
  /** How long a job is left for the worker whose ComfyUI may still run its prompt. */
  homePatienceMs: 15_000,
  /** How long a job is left for an instance that has not failed it yet. */
  elsewherePatienceMs: 600_000,
  /** A declined job waits this long before it is offered again; the first time, `firstDeclineMs`. */
  declineMs: 1_000,
  firstDeclineMs: 200,
  /** For how long nobody else renders for identical jobs when the worker of the one that does was lost: it comes back first. */
  flightGraceMs: 15_000,
  /** How long a job that waits for another's render is put aside, times its place among those who wait. */
  followMs: 1_000,
  longestFollowMs: 600_000,
  /** What is left of a flight and its followers when everybody who knew of it died. */
  flightTtlMs: 24 * 3_600_000,
  /** How long a job waits to be given a stored result before it is rendered after all: the dispatcher may be away. */
  answerPatienceMs: 15_000,
  /** A result that is too large to be kept is kept so long for the jobs that wait for it. */
  tooLargeTtlMs: 600_000,
  answerConcurrency: 8,
  /** The longest silence seen of a node class shrinks by this factor with each newer one. */
  silenceDecay: 0.98,
  classesTtlSeconds: 30 * 24 * 3_600,
  /** Weight of the newest job in the mean of those like it. */
  meanWeight: 0.2,
  /** Shapes of workflows whose times are remembered per pool. */
  shapesKept: 1_000,
  /** What ended longer ago than this hardly counts for how fast jobs end now. */
  paceMs: 300_000,
  /** How long a change of the limits may take to be known. */
  limitsEveryMs: 2_000,
  /** A job that waits for a seat looks for itself after `followMs` times its place in the line, or this; else it is woken. */
  longestSeatWaitMs: 3_600_000,
  /** Every so many claims of one worker, the job that has waited too long and longest goes before all others. */
  agedEveryClaims: 8,
  ageingMs: 600_000,
  /** A worker that takes only what the others leave waiting looks this often. */
  overflowLookMs: 500,
  /** Waits between tries of one delivery (Standard Webhooks' example: 10 tries in 75 h 35 min). */
  deliveryBackoffMs: [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map((seconds) => seconds * 1_000),
  /** Progress is soon out of date, and an output is told again at the job's end. */
  progressBackoffMs: [1_000, 5_000],
  outputBackoffMs: [5_000, 30_000, 120_000],
  /** Older than this they are dropped. */
  staleProgressMs: 60_000,
  staleOutputMs: 600_000,
  /** Deliveries under way in one dispatcher; nearly all they do is wait. */
  deliveryConcurrency: 64,
  /** Deliveries to one host at once, over all dispatchers. */
  deliveriesPerHost: 4,
  /** Deliveries at once, over all dispatchers, to hosts that did not answer swiftly the last time. */
  cautiousSlots: 32,
  /** An answer within this is a swift one. */
  swiftAnswerMs: 5_000,
  /** For how long it is remembered how a host answered. */
  paceMemoryMs: 24 * 3_600_000,
  /** Who stands in a host's line is called; it looks by itself this late at the latest. */
  longestLineMs: 3_600_000,
  deliveryTriesKept: 50,
  /** Deliveries that are kept at all; beyond them the oldest that have ended go. */
  deliveriesKept: 200_000,
  /** Failed deliveries are kept this many times longer than others: somebody may want them sent again. */
  failedKeptTimes: 4,
  /** An endpoint is disabled when nothing arrived for so long, after this many failures over at least this span. */
  endpointPatienceMs: 5 * 24 * 3_600_000,
  endpointFailures: 5,
  endpointFailuresSpanMs: 12 * 3_600_000,
  settlementConcurrency: 8,
  ticksKept: 50,
  tickConcurrency: 8,
  sweepSchedulesEveryMs: 1_000,
  /** An alarm that rings this much too late is rung by the sweeper. */
  scheduleSlackMs: 500,
  /** A schedule's moment that nobody came to for so long was missed; its policy says what then. */
  tickGraceMs: 60_000,
  /** How often a tick that waits, for room or for the job before, is looked at again: after a tenth of its waiting, but within these. */
  tickRecheckMs: 2_000,
  longestTickRecheckMs: 60_000,
  /** How long a tick waits for room in its pool. */
  tickPatienceMs: 600_000,
  /** Entries kept of one schedule's history. */
  tickHistoryLength: 1_000,
};

/** The numbers one room works with: `SETTINGS`, or for a test the same at another pace. */
export type Settings = Readonly<typeof REAL>;

/** The numbers at their real pace. A room at work asks its own `settings`. */
export const SETTINGS: Settings = REAL;

/** Spans that shrink together when a test runs the clock faster; caps, counts and retention do not. */
const SCALED = [
  "lockMs",
  "renewMs",
  "stalledScanMs",
  "fenceMs",
  "fenceCheckMs",
  "drainDelaySeconds",
  "sweepRetentionEveryMs",
  "sweepExpiredEveryMs",
  "sweepCanceledEveryMs",
  "sweepStorageEveryMs",
  "batchLeaseMs",
  "careForBatchesEveryMs",
  "watchPollMs",
  "tellProgressEveryMs",
  "beatEveryMs",
  "beatTtlMs",
  "instanceLeaseMs",
  "homePatienceMs",
  "elsewherePatienceMs",
  "declineMs",
  "firstDeclineMs",
  "flightGraceMs",
  "followMs",
  "longestFollowMs",
  "limitsEveryMs",
  "longestSeatWaitMs",
  "answerPatienceMs",
  "sweepSchedulesEveryMs",
  "scheduleSlackMs",
  "tickGraceMs",
  "tickRecheckMs",
  "longestTickRecheckMs",
  "tickPatienceMs",
  "staleProgressMs",
  "staleOutputMs",
  "swiftAnswerMs",
  "longestLineMs",
] as const satisfies readonly (keyof Settings)[];

/** @param timeScale 1 is the real pace; 0.2 makes every lease, scan and wait a fifth as long */
export function scaleSettings(timeScale: number): Settings {
  const scaled = (waits: readonly number[]) => waits.map((ms) => ms * timeScale);
  const settings = {
    ...REAL,
    deliveryBackoffMs: scaled(REAL.deliveryBackoffMs),
    progressBackoffMs: scaled(REAL.progressBackoffMs),
    outputBackoffMs: scaled(REAL.outputBackoffMs),
  };
  for (const name of SCALED) settings[name] *= timeScale;
  return settings;
}
