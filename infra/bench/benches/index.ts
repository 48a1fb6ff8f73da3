import type { Bench } from "../harness/bench.ts";
import { batch } from "./batch.ts";
import { deliveryRate } from "./deliveryRate.ts";
import { enqueue } from "./enqueue.ts";
import { fourGpus, gpuBusy, gpuBusyShort } from "./gpuBusy.ts";
import { ioBound } from "./ioBound.ts";
import { jobOverhead } from "./jobOverhead.ts";
import { memory } from "./memory.ts";
import { pickup } from "./pickup.ts";
import { retryCost } from "./retryCost.ts";
import { slowWebhook } from "./slowWebhook.ts";
import { webhookEnqueue } from "./webhookEnqueue.ts";
import { webhookLatency } from "./webhookLatency.ts";

/** Every benchmark, in the order in which they run. */
export const BENCHES: readonly Bench[] = [
  gpuBusy,
  gpuBusyShort,
  fourGpus,
  ioBound,
  jobOverhead,
  enqueue,
  batch,
  pickup,
  slowWebhook,
  memory,
  retryCost,
  webhookLatency,
  deliveryRate,
  webhookEnqueue,
];
