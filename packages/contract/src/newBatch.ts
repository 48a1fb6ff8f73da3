import * as z from "zod";
import { BatchRow } from "./batch.ts";
import { NewJob } from "./newJob.ts";
import { JobEventType, WebhookRequest } from "./webhookEvent.ts";

/** Who is to be told. Events of jobs are told of every row. */
export const BatchWebhook = WebhookRequest.extend({
  events: z
    .array(z.enum(["batch.completed", ...JobEventType.options]))
    .min(1)
    .default(["batch.completed"]),
});
export type BatchWebhook = z.infer<typeof BatchWebhook>;

/** What a customer may send to `POST /v1/batches`: a job, and what differs from row to row. */
export const NewBatch = z
  .strictObject({
    ...NewJob.shape,
    webhook: BatchWebhook.optional(),
    rows: z
      .array(BatchRow)
      .optional()
      .meta({ description: 'One job each: [{ "6.inputs.text": "a fox" }, { "6.inputs.text": "a hare" }]' }),
    grid: z.record(z.string().min(1).max(512), z.array(z.unknown()).min(1)).optional().meta({
      description:
        'Every combination, the last name changing first: { "6.inputs.text": ["a", "b"], "3.inputs.seed": [1, 2] }',
    }),
    csv: z.string().optional().meta({ description: "A first line of names, then one line for each job" }),
    jsonl: z.string().optional().meta({ description: "One JSON object on each line, one job each" }),
  })
  .meta({ id: "NewBatch" });
export type NewBatch = z.infer<typeof NewBatch>;
