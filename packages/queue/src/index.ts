export { type Answerable, claimAnswerable } from "./answers.ts";
export { adoptAssets, type RemoveAsset, sweepAssets } from "./assetUses.ts";
export type { TryOrder, TryReport, TryVerdict } from "./attemptDelivery.ts";
export type { BatchDesk, BatchRowFacts } from "./batches.ts";
export { BatchHead, RowValues } from "./batchRecord.ts";
export { type CacheLimits, dropEntry, readEntry } from "./cacheEntries.ts";
export { cancelJob } from "./cancelJob.ts";
export { batchCaredFor, type Care, careForBatch, neglectedBatches } from "./careForBatch.ts";
export { type Claimer, type ClaimerOptions, type ClaimOptions, openClaimer } from "./claim.ts";
export type { BatchSubmission } from "./commitBatch.ts";
export type { RedisFacts } from "./connection.ts";
export { deliveryId, queueDelivery, type Recipient } from "./deliveries.ts";
export { deliveryBacklog } from "./deliveryBacklog.ts";
export type { BeforeEnding, NotTaken } from "./desk.ts";
export type { EndpointFacts } from "./endpointFacts.ts";
export { noteAccepted, noteHookGone, noteRefused } from "./endpointFailures.ts";
export { disableEndpoint, readEndpoint } from "./endpoints.ts";
export type {
  Answer,
  Delivery,
  JobSubmission,
  KeptBody,
  RecordHead,
  RecordRequest,
  Settlement,
  Submittable,
} from "./envelopes.ts";
export { type ErrandRunner, type Errands, type ErrandsOptions, openErrands } from "./errands.ts";
export { QueueError, type QueueErrorCode, type Refusal } from "./errors.ts";
export { beat, leaveFleet, type PoolCounts, publishClasses, publishModelLists, publishObjectInfo } from "./fleet.ts";
export { type Berth, wake } from "./flights.ts";
export { type EndedBatch, endedBatch, noteRowEnd } from "./followBatch.ts";
export { type GateLimits, tendGates } from "./gate.ts";
export type { DropReason, HeldJob } from "./heldJob.ts";
export { type BusyPeriod, forgetIdle, leaveBusy } from "./idle.ts";
export { holdInstance, type InstanceClaim, releaseInstance } from "./instanceLease.ts";
export { type JobSigning, readJobSigning } from "./jobSigning.ts";
export type { DeliveryQuery } from "./listDeliveries.ts";
export type { ListPage, ListQuery } from "./listJobs.ts";
export type { NewNote, Notes } from "./notes.ts";
export type { Outcome } from "./outcome.ts";
export type { WaitingJob } from "./peekJobs.ts";
export { openProducer, type Producer } from "./producer.ts";
export type { HeardNotice, PromptNotice } from "./promptNotices.ts";
export type { PromptPapers, Prompts } from "./prompts.ts";
export type { PoolFacts } from "./queueFacts.ts";
export { readJob } from "./readJob.ts";
export type { RedeliverQuery } from "./redeliver.ts";
export { redisNowMs } from "./redisClock.ts";
export type { QueueRoom, RoomOptions } from "./room.ts";
export { rotateSecrets } from "./rotateSecrets.ts";
export { lookAgain, noteScheduledEnd, setAlarm } from "./schedules/alarms.ts";
export { decideTicks, type Gap, type TickPlan, type TickQuestion } from "./schedules/decideTicks.ts";
export { momentsBetween, nextMoment, readMomentRule } from "./schedules/moments.ts";
export { openJobsOf } from "./schedules/openJobs.ts";
export type { Schedules } from "./schedules/openSchedules.ts";
export type { SchedulePapers } from "./schedules/putSchedule.ts";
export {
  type MissedNews,
  type PendingTick,
  readSchedule,
  readTemplate,
  type ScheduleRef,
  type ScheduleState,
  type ScheduleTemplate,
} from "./schedules/scheduleState.ts";
export {
  type Decision,
  decideTick,
  type Ending,
  finishTick,
  newsTold,
  remarkTick,
  ruleKey,
  type TickEntry,
} from "./schedules/tickScripts.ts";
export { SETTINGS, type Settings } from "./settings.ts";
export { readSettled, type Settled } from "./settled.ts";
export { type NodeSilence, type NodeSilences, noteSilences, readSilences } from "./silences.ts";
export type { Standing } from "./standing.ts";
export { type Submitted, submitJob } from "./submitJob.ts";
export { sweepBatches } from "./sweepBatches.ts";
export { sweepDeliveries } from "./sweepDeliveries.ts";
export { type RemoveFiles, sweepExpired, sweepRetention } from "./sweeping.ts";
export { type Audience, type NamedWebhook, tell } from "./tell.ts";
export { isCursor } from "./timeline.ts";
export type { WatchedEvent, WatchQuery } from "./watchJob.ts";
export type { Webhooks } from "./webhooks.ts";
