import { isObject } from "../../engine/graph.ts";
import { cancelJob, findJob, JOB_STATUSES, type JobView, listJobs } from "../../engine/jobs.ts";
import { pythonRepr } from "../../engine/pythonValues.ts";
import type { Simulation } from "../../Simulation.ts";
import type { ApiRequest } from "../ApiRequest.ts";
import { json, notFound, type Reply } from "../Reply.ts";
import type { Handler, Route } from "../Router.ts";

const wrong = (error: string, more: object = {}): Reply => json({ error, ...more }, 400);

/** Only where the version has it. */
const since =
  (has: (simulation: Simulation) => boolean, handle: Handler): Handler =>
  (request, simulation) =>
    has(simulation) ? handle(request, simulation) : notFound();

const hasJobs = ({ parts }: Simulation): boolean => parts.profile.hasJobs;
const cancelsJobs = ({ parts }: Simulation): boolean => parts.profile.cancelsJobs;

/** The jobs API, declared with `/api` (server.py; reference/comfyui-protocol.md §1.4). */
export const JOB_ROUTES: readonly Route[] = [
  { method: "GET", path: "/api/jobs", handle: since(hasJobs, getJobs) },
  {
    method: "GET",
    path: "/api/jobs/:id",
    handle: since(hasJobs, ({ params }, { life }) => {
      const job = findJob(life, params["id"] ?? "");
      return job ? json(job) : json({ error: "Job not found" }, 404);
    }),
  },
  { method: "POST", path: "/api/jobs/cancel", handle: since(cancelsJobs, cancelMany) },
  {
    method: "POST",
    path: "/api/jobs/:id/cancel",
    handle: since(cancelsJobs, ({ params }, { life }) => json({ cancelled: cancelJob(life, params["id"] ?? "") })),
  },
];

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

async function cancelMany(request: ApiRequest, { life }: Simulation): Promise<Reply> {
  let body: unknown;
  try {
    body = await request.json();
  } catch (cause) {
    if (cause instanceof SyntaxError) return wrong("Request body must be valid JSON");
    throw cause;
  }
  const ids = isObject(body) ? body["job_ids"] : undefined;
  if (!Array.isArray(ids)) return wrong("job_ids must be a list");
  const invalid = ids.filter((id) => typeof id !== "string" || !UUID.test(id));
  if (invalid.length > 0) {
    const invalid_ids = invalid.map((id) => (typeof id === "string" ? id : pythonRepr(id)));
    return wrong("job_ids contains invalid id(s)", { invalid_ids });
  }
  const cancelled = ids.map((id) => cancelJob(life, String(id)));
  return json({ cancelled: cancelled.includes(true) });
}

function getJobs({ query }: ApiRequest, { life }: Simulation): Reply {
  const statuses = (query.get("status") ?? "")
    .toLowerCase()
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);
  const unknown = statuses.filter((status) => !JOB_STATUSES.some((known) => known === status));
  if (unknown.length > 0) {
    return wrong(`Invalid status value(s): ${unknown.join(", ")}. Valid values: ${JOB_STATUSES.join(", ")}`);
  }
  const sortBy = (query.get("sort_by") ?? "created_at").toLowerCase();
  const order = (query.get("sort_order") ?? "desc").toLowerCase();
  if (!["created_at", "execution_duration"].includes(sortBy)) {
    return wrong("sort_by must be 'created_at' or 'execution_duration'");
  }
  if (!["asc", "desc"].includes(order)) return wrong("sort_order must be 'asc' or 'desc'");
  const limit = wholeNumber(query.get("limit"));
  const offset = wholeNumber(query.get("offset"));
  if (limit === "wrong") return wrong("limit must be an integer");
  if (limit !== undefined && limit <= 0) return wrong("limit must be a positive integer");
  if (offset === "wrong") return wrong("offset must be an integer");
  const workflowId = query.get("workflow_id");
  const wanted = listJobs(life).filter(
    (job) =>
      (statuses.length === 0 || statuses.includes(String(job["status"]))) &&
      (!workflowId || job["workflow_id"] === workflowId),
  );
  return json(pageOf(sorted(wanted, sortBy, order), Math.max(0, offset ?? 0), limit));
}

function pageOf(jobs: readonly JobView[], offset: number, limit: number | undefined): object {
  const page = jobs.slice(offset, limit === undefined ? undefined : offset + limit);
  const hasMore = offset + page.length < jobs.length;
  return { jobs: page, pagination: { offset, limit: limit ?? null, total: jobs.length, has_more: hasMore } };
}

function sorted(jobs: readonly JobView[], sortBy: string, order: string): JobView[] {
  const keyOf = (job: JobView): number => {
    if (sortBy === "created_at") return Number(job["create_time"] ?? 0);
    const [start, end] = [Number(job["execution_start_time"] ?? 0), Number(job["execution_end_time"] ?? 0)];
    return start && end ? end - start : 0;
  };
  return jobs.toSorted((one, other) => (order === "asc" ? keyOf(one) - keyOf(other) : keyOf(other) - keyOf(one)));
}

function wholeNumber(text: string | null): number | "wrong" | undefined {
  if (text === null) return undefined;
  return /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : "wrong";
}
