import {
  Batch,
  type BatchFacts,
  BatchPage,
  BatchRetry,
  BatchRowPage,
  NewBatch,
  presentBatch,
  Uuid,
} from "@comfyq/contract";
import * as z from "zod";
import { batchIdOf, found } from "../batch/ownBatch.ts";
import { presentRow } from "../batch/presentRow.ts";
import { submitBatch } from "../batch/submitBatch.ts";
import { waitForBatch } from "../batch/waitForBatch.ts";
import { workInBackground } from "../batch/workInBackground.ts";
import { readWish } from "../body/readWish.ts";
import { PageCursor } from "../pageCursor.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, json, type Route, route } from "../route.ts";
import { preferredWait } from "../submit/preferredWait.ts";
import { SUBMIT_ERRORS } from "../submit/submitErrors.ts";
import { batchOutputsRoute } from "./batchOutputs.ts";
import { SUBMIT_HEADERS } from "./submitJob.ts";

const Params = z.object({ id: Uuid });

const EXAMPLE: z.input<typeof NewBatch> = {
  workflow: {
    "3": { class_type: "EmptyImage", inputs: { width: 512, height: 512, batch_size: 1, color: 0 } },
    "9": { class_type: "SaveImage", inputs: { images: ["3", 0], filename_prefix: "hello" } },
  },
  grid: { "3.inputs.color": [255, 65280, 16711680], "3.inputs.width": [256, 512] },
  tags: ["palette"],
};

const DESCRIPTION = `One workflow times a list of values: rows, every combination of a grid, CSV or JSON lines; up to 10,000 jobs.
All or nothing: when one row is wrong nothing is queued, and every row that is wrong is named. 201 means that the whole batch is
recorded durably; its jobs are made in the order of its rows and in turn with those of others, so a batch keeps nobody waiting.`;

const FORM = z.object({
  batch: NewBatch.meta({ description: "The same JSON, without rows" }),
  rows: z.string().meta({ format: "binary", description: "A .csv or .jsonl file" }),
});

/** One workflow times many rows. */
export function batchRoutes(rooms: Rooms): readonly Route[] {
  const shared = { tag: "Batches", params: Params } as const;
  return [
    submitRoute(rooms),
    listRoute(rooms),
    route({
      ...shared,
      method: "get",
      path: "/v1/batches/{id}",
      scope: "read",
      summary: "Read a batch and its progress",
      answers: { 200: json("The batch", Batch) },
      errors: ["not_found"],
      run: async (call) =>
        show(call, found(call, await rooms.producer.batches.read(call.caller.tenant, batchIdOf(call)))),
    }),
    rowsRoute(rooms),
    batchOutputsRoute(rooms),
    route({
      ...shared,
      method: "post",
      path: "/v1/batches/{id}/cancel",
      scope: "submit",
      summary: "Cancel what has not ended of a batch",
      description:
        "No further job is made from the answer on, and those that are made are asked to end, one after the other.",
      answers: { 200: json("The batch; canceling until its last job has ended", Batch) },
      errors: ["not_found", "conflict"],
      run: async (call) => {
        const id = batchIdOf(call);
        const facts = found(call, await rooms.producer.batches.cancel(call.caller.tenant, id));
        workInBackground(rooms, id);
        show(call, facts);
      },
    }),
    retryRoute(rooms),
  ];
}

function submitRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/batches",
    scope: "submit",
    tag: "Batches",
    summary: "Submit a batch",
    description: DESCRIPTION,
    headers: SUBMIT_HEADERS,
    body: { "application/json": { schema: NewBatch, example: EXAMPLE }, "multipart/form-data": { schema: FORM } },
    answers: {
      201: {
        ...json("The batch", Batch),
        headers: z.object({
          Location: z.string(),
          "Idempotency-Replayed": z.literal("true").optional().meta({ description: "It was submitted before" }),
          "Preference-Applied": z.string().optional(),
        }),
      },
    },
    errors: SUBMIT_ERRORS,
    run: async (call) => {
      const { facts: queued, replayed } = await submitBatch(rooms, call);
      const seconds = preferredWait(call.req.get("prefer"));
      const facts = seconds === undefined ? queued : await waitForBatch(rooms, call, queued, seconds);
      if (seconds !== undefined) call.res.set("Preference-Applied", `wait=${seconds}`);
      if (replayed) call.res.set("Idempotency-Replayed", "true");
      const batch = presentBatch(facts, call.baseUrl);
      call.res.status(201).set("Location", batch.urls.self).json(batch);
    },
  });
}

function listRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/batches",
    scope: "read",
    tag: "Batches",
    summary: "List batches, newest first",
    query: z.strictObject({
      limit: z.coerce.number().int().min(1).max(100).default(20),
      cursor: PageCursor.optional(),
    }),
    answers: { 200: json("One page", BatchPage) },
    errors: ["invalid_request"],
    run: async (call) => {
      const { batches, nextCursor } = await rooms.producer.batches.list({ tenant: call.caller.tenant, ...call.query });
      const shown = batches.map((facts) => presentBatch(facts, call.baseUrl));
      call.res.json({ batches: shown, next_cursor: nextCursor ?? null } satisfies BatchPage);
    },
  });
}

function rowsRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/batches/{id}/rows",
    scope: "read",
    tag: "Batches",
    summary: "List the rows of a batch, in their order",
    params: Params,
    query: z.strictObject({
      limit: z.coerce.number().int().min(1).max(100).default(50),
      cursor: z.coerce.number().int().min(0).default(0).meta({ description: "next_cursor of the page before: a row" }),
    }),
    answers: { 200: json("One page", BatchRowPage) },
    errors: ["invalid_request", "not_found"],
    run: async (call) => {
      const { limit, cursor } = call.query;
      const page = { from: cursor, limit: limit + 1 };
      const rows = found(call, await rooms.producer.batches.rows(call.caller.tenant, batchIdOf(call), page));
      const shown = await Promise.all(rows.slice(0, limit).map((row) => presentRow(rooms, call, row)));
      const next = rows.length > limit ? String(cursor + limit) : null;
      call.res.json({ rows: shown, next_cursor: next } satisfies BatchRowPage);
    },
  });
}

function retryRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/batches/{id}/retry",
    scope: "submit",
    tag: "Batches",
    summary: "Run rows of a batch again that failed",
    description:
      "Each gets a new job in the same row; what has succeeded stays. A batch that had ended is open again, in its next round, and " +
      "tells of its end again. Safe to repeat: a row that waits is not retried twice.",
    params: Params,
    body: { "application/json": { schema: BatchRetry, example: { statuses: ["failed", "expired"] } } },
    answers: { 200: json("The batch", Batch) },
    errors: ["invalid_json", "invalid_request", "not_found", "conflict", "limit_reached", "queue_full"],
    run: async (call) => {
      const id = batchIdOf(call);
      const { statuses } = await readWish(rooms, call, RETRY_FORM);
      const facts = found(call, await rooms.producer.batches.retry(call.caller.tenant, id, statuses));
      workInBackground(rooms, id);
      show(call, facts);
    },
  });
}

/** An empty body asks for what is meant mostly. */
const RETRY_FORM = {
  schema: BatchRetry,
  example: '{"statuses": ["failed"]}',
  isOptional: true,
  undone: "retried",
} as const;

function show(call: Call, facts: BatchFacts): void {
  call.res.json(presentBatch(facts, call.baseUrl));
}
