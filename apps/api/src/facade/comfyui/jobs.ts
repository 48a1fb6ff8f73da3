import { isObject, type JobView, jobsAnswer, readJobsQuery, wholeJobView } from "@comfyq/comfyui/wire";
import { isTerminal, JobId } from "@comfyq/contract";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { inCloudWords, inComfyWords, showsKind } from "../cloud/cloudJobs.ts";
import { isCloudClient } from "../cloud/isCloudClient.ts";
import { cancelOpen } from "./cancelOpen.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { createJobViews, endedPrompt, type JobViews, openView, PROFILE } from "./jobViews.ts";
import { promptHistory } from "./promptHistory.ts";
import { MOST_OPEN } from "./queue.ts";
import { readFields } from "./readFields.ts";

/** Ended jobs that one answer looks at, the newest. */
const MOST_ENDED = 1_000;
const MOST_CANCELED = 1_000;
/** Statuses of jobs that have not ended. */
const OPEN: readonly string[] = ["pending", "in_progress"];

/** ComfyUI's jobs API, under `/api` only. */
export function jobRoutes(rooms: Rooms): readonly Route[] {
  const shared = { isApiOnly: true } as const;
  const views = createJobViews(rooms);
  return [
    ...comfyRoute({
      ...shared,
      method: "get",
      path: "/api/jobs",
      scope: "read",
      summary: "Your jobs, open and ended; of the ended ones the newest 1000",
      run: (call) => listJobs(rooms, call, views),
    }),
    ...comfyRoute({
      ...shared,
      method: "post",
      path: "/api/jobs/cancel",
      scope: "cancel",
      summary: "Cancel several: { job_ids: [ids] }",
      run: (call) => cancelMany(rooms, call),
    }),
    ...comfyRoute({
      ...shared,
      method: "get",
      path: "/api/jobs/{job_id}",
      scope: "read",
      summary: "One job with all that is known",
      run: async (call) => {
        const job = await oneJob(rooms, call.caller.tenant, call.params["job_id"] ?? "");
        if (job) call.res.json(isCloudClient(call) ? inCloudWords(job) : job);
        else call.res.status(404).json({ error: "Job not found" });
      },
    }),
    ...comfyRoute({
      ...shared,
      method: "post",
      path: "/api/jobs/{job_id}/cancel",
      scope: "cancel",
      summary: "Cancel a job that waits or runs",
      run: async (call) => {
        const id = call.params["job_id"] ?? "";
        call.res.json({ cancelled: await cancelOpen(rooms, call.caller.tenant, { id }) });
      },
    }),
  ];
}

async function listJobs(rooms: Rooms, call: Call, views: JobViews): Promise<void> {
  const { searchParams } = new URL(call.req.url, "http://localhost");
  const isCloud = isCloudClient(call);
  const asked = readJobsQuery(isCloud ? inComfyWords(searchParams) : searchParams);
  if ("error" in asked) return void call.res.status(400).json(asked);
  const { tenant } = call.caller;
  const wantsEnded = asked.statuses.length === 0 || asked.statuses.some((status) => !OPEN.includes(status));
  const { prompts } = rooms.producer;
  const open = await views.open(await prompts.open(tenant, MOST_OPEN));
  // After the open ones: none is missed in between.
  const ids = wantsEnded ? await prompts.ended(tenant, { maxItems: MOST_ENDED, offset: undefined }) : [];
  const ended = await views.ended(tenant, ids);
  const isEnded = new Set(ended.map((job) => job["id"]));
  const jobs = [...open.filter((job) => !isEnded.has(job["id"])), ...ended];
  if (!isCloud) return void call.res.json(jobsAnswer(jobs, asked));
  const kind = searchParams.get("output_type");
  const wanted = kind === null ? jobs : jobs.filter((job) => showsKind(job, kind));
  call.res.json(jobsAnswer(wanted.map(inCloudWords), asked));
}

async function oneJob(rooms: Rooms, tenant: string, id: string): Promise<JobView | undefined> {
  const job = JobId.safeParse(id).success ? await rooms.producer.read(tenant, id) : undefined;
  if (!job) return undefined;
  if (!isTerminal(job.status)) return openView(rooms, job);
  const entry = (await rooms.producer.prompts.isInHistory(tenant, id)) && (await promptHistory(rooms, tenant, id));
  return entry ? wholeJobView(endedPrompt(entry), PROFILE) : undefined;
}

async function cancelMany(rooms: Rooms, call: Call): Promise<void> {
  const fields = await readFields(rooms, call);
  const ids = isObject(fields) ? fields["job_ids"] : undefined;
  const refuse = (error: string, more: object = {}) => void call.res.status(400).json({ error, ...more });
  if (!Array.isArray(ids)) return refuse("job_ids must be a list");
  if (ids.length > MOST_CANCELED) return refuse(`job_ids holds more than ${MOST_CANCELED} ids`);
  const invalid_ids = ids.filter((id) => !JobId.safeParse(id).success).map(String);
  if (invalid_ids.length > 0) return refuse("job_ids contains invalid id(s)", { invalid_ids });
  let cancelled = false;
  for (const id of ids) cancelled = (await cancelOpen(rooms, call.caller.tenant, { id: String(id) })) || cancelled;
  call.res.json({ cancelled });
}
