import { NewSchedule, Schedule, SchedulePage, ScheduleSummary, TickPage } from "@comfyq/contract";
import type { ScheduleRef } from "@comfyq/queue";
import { newId } from "@comfyq/runtime";
import * as z from "zod";
import { readBody } from "../body/readBody.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, json, type Route, route } from "../route.ts";
import { checkSchedule } from "../schedules/checkSchedule.ts";
import { newScheduleRef, ownedSchedule, readOwnSchedule, scheduleRef } from "../schedules/ownSchedule.ts";
import { presentSchedule } from "../schedules/presentSchedule.ts";
import { readNewSchedule } from "../schedules/readNewSchedule.ts";
import { checkWebhookUrl } from "../webhooks/checkWebhookUrl.ts";

const EXAMPLE: z.input<typeof NewSchedule> = {
  cron: "30 2 * * MON-FRI",
  time_zone: "Europe/Berlin",
  overlap: "skip",
  job: {
    workflow: {
      "3": { class_type: "EmptyImage", inputs: { width: 512, height: 512, batch_size: 1, color: 0 } },
      "9": { class_type: "SaveImage", inputs: { images: ["3", 0], filename_prefix: "daily-{{tick.date}}" } },
    },
    tags: ["daily"],
  },
};

/** Where a schedule stands; the other addresses go on from there. */
export const SCHEDULE_PATH = "/v1/schedules/{name}";
const Name = z.object({ name: z.string().meta({ description: "Yours to choose: 1-63 of a-z 0-9 _ -" }) });

const Page = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20).meta({ description: "Entries on one page" }),
  cursor: z.string().min(1).max(256).optional().meta({ description: "next_cursor of the page before" }),
});

const shared = { tag: "Schedules" } as const;

export function scheduleRoutes(rooms: Rooms): readonly Route[] {
  return [
    putRoute(rooms),
    listRoute(rooms),
    showRoute(rooms),
    deleteRoute(rooms),
    pauseRoute(rooms, "pause"),
    pauseRoute(rooms, "resume"),
    ticksRoute(rooms),
  ];
}

function putRoute(rooms: Rooms): Route {
  return route({
    ...shared,
    method: "put",
    path: SCHEDULE_PATH,
    scope: "submit",
    summary: "Make a schedule, or change it",
    description:
      "The name is the key: the same body again changes nothing. Strings of `job` may hold {{tick.date}}, {{tick.at}}, " +
      "{{tick.count}} and {{tick.seed}}; it is checked now as a job is. When the moments change, those of before are over with.",
    params: Name,
    body: { "application/json": { schema: NewSchedule, example: EXAMPLE } },
    answers: { 200: json("It was there; as it is now", Schedule), 201: json("It was made", Schedule) },
    errors: [
      "invalid_json",
      "invalid_request",
      "invalid_workflow",
      "workflow_format_ui",
      "missing_asset",
      "conflict",
      "payload_too_large",
      "unsupported_media_type",
    ],
    run: async (call) => {
      const ref = newScheduleRef(call);
      const became = await put(rooms, call, ref);
      call.res.status(became === "new" ? 201 : 200).json(await whole(rooms, call, ref));
    },
  });
}

async function put(rooms: Rooms, call: Call, ref: ScheduleRef): Promise<"new" | "changed" | "same"> {
  const read = readNewSchedule(await readBody(call.req, rooms.settings.COMFYQ_MAX_BODY_BYTES), rooms.secretBox);
  const { schedules } = rooms.producer;
  const known = await schedules.read(ref);
  // A repeat is not judged again: the instances of its pool may have changed since it was accepted.
  if (known?.bodySha256 === read.bodySha256) return "same";
  const { webhook } = read.rule;
  if (webhook) checkWebhookUrl(rooms, webhook.url, { path: "webhook.url", undone: "changed" });
  const checked = await checkSchedule(rooms, ref.tenant, read);
  return schedules.put({ ...ref, ...checked, freshId: newId(), rule: read.rule, bodySha256: read.bodySha256 });
}

/** @throws ApiError `not_found` */
async function whole(rooms: Rooms, call: Call, ref: ScheduleRef): Promise<Schedule> {
  const { schedules } = rooms.producer;
  const [state, template] = await Promise.all([schedules.read(ref), schedules.template(ref)]);
  const shown = await presentSchedule(rooms, call, ownedSchedule(ref, state));
  return { ...shown, job: { ...template?.job } };
}

function listRoute(rooms: Rooms): Route {
  return route({
    ...shared,
    method: "get",
    path: "/v1/schedules",
    scope: "read",
    summary: "List schedules, by name",
    query: Page,
    answers: { 200: json("One page", SchedulePage) },
    errors: ["invalid_request"],
    run: async (call) => {
      const { tenant } = call.caller;
      const page = await rooms.producer.schedules.list(tenant, { ...call.query, cursor: call.query.cursor });
      const schedules = await Promise.all(page.schedules.map((state) => presentSchedule(rooms, call, state)));
      call.res.json({ schedules, next_cursor: page.nextCursor ?? null } satisfies SchedulePage);
    },
  });
}

function showRoute(rooms: Rooms): Route {
  return route({
    ...shared,
    method: "get",
    path: SCHEDULE_PATH,
    scope: "read",
    summary: "Show a schedule, with its next ten moments",
    params: Name,
    answers: { 200: json("The schedule", Schedule) },
    errors: ["not_found"],
    run: async (call) => {
      call.res.json(await whole(rooms, call, scheduleRef(call)));
    },
  });
}

function deleteRoute(rooms: Rooms): Route {
  return route({
    ...shared,
    method: "delete",
    path: SCHEDULE_PATH,
    scope: "submit",
    summary: "Delete a schedule and its history",
    description: "Jobs that it made stay and go on; cancel them one by one if they shall not.",
    params: Name,
    answers: { 204: { description: "It is gone" } },
    errors: ["not_found"],
    run: async (call) => {
      const ref = scheduleRef(call);
      ownedSchedule(ref, (await rooms.producer.schedules.delete(ref)) || undefined);
      call.res.status(204).end();
    },
  });
}

const PAUSES = {
  pause: { summary: "Pause a schedule", description: "Jobs that it made go on. What passes meanwhile is not missed." },
  resume: {
    summary: "Resume a paused schedule",
    description: "From the next moment on; what passed is not made up for.",
  },
} as const;

function pauseRoute(rooms: Rooms, wish: keyof typeof PAUSES): Route {
  return route({
    ...shared,
    ...PAUSES[wish],
    method: "post",
    path: `${SCHEDULE_PATH}/${wish}`,
    scope: "submit",
    params: Name,
    answers: { 200: json("As it is now", ScheduleSummary) },
    errors: ["not_found"],
    run: async (call) => {
      const ref = scheduleRef(call);
      const state = ownedSchedule(ref, await rooms.producer.schedules[wish](ref));
      call.res.json(await presentSchedule(rooms, call, state));
    },
  });
}

function ticksRoute(rooms: Rooms): Route {
  return route({
    ...shared,
    method: "get",
    path: `${SCHEDULE_PATH}/ticks`,
    scope: "read",
    summary: "List what came of a schedule's moments, newest first",
    description: "Every moment with the job that it made, or why it made none. The newest 1000 are kept.",
    params: Name,
    query: Page,
    answers: { 200: json("One page", TickPage) },
    errors: ["not_found", "invalid_request"],
    run: async (call) => {
      const state = await readOwnSchedule(rooms, call);
      const page = await rooms.producer.schedules.ticks(state, { ...call.query, cursor: call.query.cursor });
      call.res.json({ ticks: [...page.ticks], next_cursor: page.nextCursor ?? null } satisfies TickPage);
    },
  });
}
