import { fromMoment, JobErrorCode, JobPage, JobStatus, Moment, PoolName, Uuid } from "@comfyq/contract";
import * as z from "zod";
import { PageCursor } from "../pageCursor.ts";
import { showJob } from "../presentJob.ts";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

const Query = z.strictObject({
  status: JobStatus.optional().meta({ description: "Only jobs that are in this status now" }),
  code: JobErrorCode.optional().meta({ description: "Only jobs that failed with this code, such as poison" }),
  tag: z.string().min(1).max(64).optional().meta({ description: "Only jobs with this tag" }),
  batch: Uuid.optional().meta({ description: "Only jobs of this batch, those of earlier tries of its rows included" }),
  pool: PoolName.optional(),
  created_after: Moment.optional().meta({ description: "Only jobs made at this moment or later" }),
  created_before: Moment.optional().meta({ description: "Only jobs made before this moment" }),
  limit: z.coerce.number().int().min(1).max(100).default(20).meta({ description: "Jobs on one page" }),
  cursor: PageCursor.optional(),
});

export function listJobsRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/jobs",
    scope: "read",
    tag: "Jobs",
    summary: "List jobs, newest first",
    description: "With a filter a page can be short and still have a next one: go on until next_cursor is null.",
    query: Query,
    answers: { 200: json("One page", JobPage) },
    errors: ["invalid_request"],
    run: async (call) => {
      const { created_after, created_before, ...filters } = call.query;
      const page = await rooms.producer.list({
        tenant: call.caller.tenant,
        ...filters,
        createdAfterMs: fromMoment(created_after),
        createdBeforeMs: fromMoment(created_before),
      });
      const jobs = await Promise.all(page.jobs.map((facts) => showJob(rooms, call, facts)));
      call.res.json({ jobs, next_cursor: page.nextCursor ?? null } satisfies JobPage);
    },
  });
}
