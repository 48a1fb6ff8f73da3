import { once } from "node:events";
import { type BatchRowView, BatchRowView as RowSchema, Uuid } from "@comfyq/contract";
import type { Response } from "express";
import * as z from "zod";
import { csvHead, csvLines } from "../batch/outputsCsv.ts";
import { batchIdOf, found } from "../batch/ownBatch.ts";
import { presentRow } from "../batch/presentRow.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, type Route, route } from "../route.ts";

/** Rows that are read at once: each is a job of its own. */
const AT_ONCE = 50;

const Outputs = z.object({ batch_id: Uuid, rows: z.array(RowSchema) }).meta({ id: "BatchOutputs" });

const DESCRIPTION = `Every row in its order, with its values, its job, and its outputs, each with a fresh link and the hash of its
bytes; as far as it has come. As CSV: one line for each output, and one for a row that has none.`;

export function batchOutputsRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/batches/{id}/outputs",
    scope: "read",
    tag: "Batches",
    summary: "Read the manifest of a batch: all results of all rows",
    description: DESCRIPTION,
    params: z.object({ id: Uuid }),
    query: z.strictObject({ format: z.enum(["json", "csv"]).default("json") }),
    answers: {
      200: {
        description: "The manifest",
        content: { "application/json": { schema: Outputs }, "text/csv": { schema: z.string() } },
      },
    },
    errors: ["invalid_request", "not_found"],
    run: async (call) => {
      const id = batchIdOf(call);
      found(call, await rooms.producer.batches.read(call.caller.tenant, id));
      await (call.query.format === "csv" ? sendCsv(rooms, call, id) : sendJson(rooms, call, id));
    },
  });
}

async function sendJson(rooms: Rooms, call: Call, id: string): Promise<void> {
  call.res.type("application/json");
  await write(call.res, `{"batch_id":${JSON.stringify(id)},"rows":[`);
  let comma = "";
  for await (const rows of pages(rooms, call, id)) {
    await write(call.res, comma + rows.map((row) => JSON.stringify(row)).join(",\n"));
    comma = ",\n";
  }
  call.res.end("]}\n");
}

async function sendCsv(rooms: Rooms, call: Call, id: string): Promise<void> {
  call.res.type("text/csv").set("Content-Disposition", `attachment; filename="batch-${id}.csv"`);
  let names: readonly string[] | undefined;
  for await (const rows of pages(rooms, call, id)) {
    // All rows name the same params, or a later one's are left out of its line: a CSV has one head.
    if (!names) {
      names = [...new Set(rows.flatMap(({ params }) => Object.keys(params)))];
      await write(call.res, csvHead(names));
    }
    for (const row of rows) await write(call.res, csvLines(names, row));
  }
  call.res.end();
}

async function* pages(rooms: Rooms, call: Call, id: string): AsyncGenerator<readonly BatchRowView[]> {
  for (let from = 0; !call.signal.aborted; from += AT_ONCE) {
    const rows = await rooms.producer.batches.rows(call.caller.tenant, id, { from, limit: AT_ONCE });
    if (!rows || rows.length === 0) return;
    yield await Promise.all(rows.map((row) => presentRow(rooms, call, row)));
  }
}

async function write(res: Response, text: string): Promise<void> {
  if (!res.write(text) && !res.closed) await Promise.race([once(res, "drain"), once(res, "close")]);
}
