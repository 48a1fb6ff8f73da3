import { isObject, type JobView, jobsAnswer, openJobView, readJobsQuery, wholeJobView } from "@comfyq/comfyui/wire";
import { isTerminal, type JobFacts, JobId } from "@comfyq/contract";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { inCloudWords, inComfyWords, showsKind } from "../cloud/cloudJobs.ts";
import { isCloudClient } from "../cloud/isCloudClient.ts";
import { cancelOpen } from "./cancelOpen.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { createEndedViews, type EndedViews, endedPrompt, PROFILE } from "./endedViews.ts";
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
  const endedViews = createEndedViews(rooms);
  return [
    ...comfyRoute({
      ...shared,
      method: "get",
      path: "/api/jobs",
      scope: "read",
      summary: "Your jobs, open and ended; of the ended ones the newest 1000",
      run: (call) => listJobs(rooms, call, endedViews),
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

async function listJobs(rooms: Rooms, call: Call, endedViews: EndedViews): Promise<void> {
  const { searchParams } = new URL(call.req.url, "http://localhost");
  const isCloud = isCloudClient(call);
  const asked = readJobsQuery(isCloud ? inComfyWords(searchParams) : searchParams);
  if ("error" in asked) return void call.res.status(400).json(asked);
  const { tenant } = call.caller;
  const wantsEnded = asked.statuses.length === 0 || asked.statuses.some((status) => !OPEN.includes(status));
  const open = await openJobs(rooms, tenant);
  const ended = wantsEnded ? await endedJobs(rooms, tenant, endedViews) : []; // after the open ones: none is missed in between
  const jobs = [...open.filter(({ id }) => ended.every((job) => job["id"] !== id)), ...ended];
  if (!isCloud) return void call.res.json(jobsAnswer(jobs, asked));
  const kind = searchParams.get("output_type");
  const wanted = kind === null ? jobs : jobs.filter((job) => showsKind(job, kind));
  call.res.json(jobsAnswer(wanted.map(inCloudWords), asked));
}

async function openJobs(rooms: Rooms, tenant: string): Promise<readonly JobView[]> {
  const open = await rooms.producer.prompts.open(tenant, MOST_OPEN);
  const views = await Promise.all(open.map((job) => openJob(rooms, job)));
  return views.filter((job) => job !== undefined);
}

async function endedJobs(rooms: Rooms, tenant: string, endedViews: EndedViews): Promise<readonly JobView[]> {
  return endedViews(tenant, await rooms.producer.prompts.ended(tenant, { maxItems: MOST_ENDED, offset: undefined }));
}

async function oneJob(rooms: Rooms, tenant: string, id: string): Promise<JobView | undefined> {
  const job = JobId.safeParse(id).success ? await rooms.producer.read(tenant, id) : undefined;
  if (!job) return undefined;
  if (!isTerminal(job.status)) return openJob(rooms, job);
  const entry = (await rooms.producer.prompts.isInHistory(tenant, id)) && (await promptHistory(rooms, tenant, id));
  return entry ? wholeJobView(endedPrompt(entry), PROFILE) : undefined;
}

async function openJob({ producer }: Rooms, { id, tenant, status }: JobFacts): Promise<JobView | undefined> {
  const papers = await producer.prompts.papers(tenant, id);
  if (!papers) return undefined;
  const extraData = { create_time: papers.createdAtMs, ...papers.extraData };
  const shown = { promptId: id, number: papers.prompt?.number ?? 0, extraData };
  return openJobView({ ...shown, status: status === "queued" ? "pending" : "in_progress" }, PROFILE);
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
