import type { JobView } from "./jobView.ts";

export const JOB_STATUSES = ["pending", "in_progress", "completed", "failed", "cancelled"] as const;

/** What `GET /api/jobs` was asked for. */
export interface JobsQuery {
  /** None: all. */
  readonly statuses: readonly string[];
  readonly workflowId: string | null;
  readonly sortBy: string;
  readonly order: string;
  readonly offset: number;
  readonly limit: number | undefined;
}

/** Reads the query; the text of ComfyUI's 400 when it cannot be taken. */
export function readJobsQuery(query: Pick<URLSearchParams, "get">): JobsQuery | { readonly error: string } {
  const statuses = (query.get("status") ?? "")
    .toLowerCase()
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);
  const unknown = statuses.filter((status) => !JOB_STATUSES.some((known) => known === status));
  if (unknown.length > 0)
    return wrong(`Invalid status value(s): ${unknown.join(", ")}. Valid values: ${JOB_STATUSES.join(", ")}`);
  const sortBy = (query.get("sort_by") ?? "created_at").toLowerCase();
  const order = (query.get("sort_order") ?? "desc").toLowerCase();
  if (!["created_at", "execution_duration"].includes(sortBy))
    return wrong("sort_by must be 'created_at' or 'execution_duration'");
  if (!["asc", "desc"].includes(order)) return wrong("sort_order must be 'asc' or 'desc'");
  const limit = wholeNumber(query.get("limit"));
  const offset = wholeNumber(query.get("offset"));
  if (limit === "wrong") return wrong("limit must be an integer");
  if (limit !== undefined && limit <= 0) return wrong("limit must be a positive integer");
  if (offset === "wrong") return wrong("offset must be an integer");
  const workflowId = query.get("workflow_id");
  return { statuses, workflowId, sortBy, order, offset: Math.max(0, offset ?? 0), limit };
}

/** The answer of `GET /api/jobs`, of all jobs. */
export function jobsAnswer(all: readonly JobView[], query: JobsQuery): object {
  const { statuses, workflowId, offset, limit } = query;
  const wanted = all.filter(
    (job) =>
      (statuses.length === 0 || statuses.includes(String(job["status"]))) &&
      (!workflowId || job["workflow_id"] === workflowId),
  );
  const page = sorted(wanted, query).slice(offset, limit === undefined ? undefined : offset + limit);
  const has_more = offset + page.length < wanted.length;
  return { jobs: page, pagination: { offset, limit: limit ?? null, total: wanted.length, has_more } };
}

function sorted(jobs: readonly JobView[], { sortBy, order }: JobsQuery): JobView[] {
  const keyOf = (job: JobView): number => {
    if (sortBy === "created_at") return Number(job["create_time"] ?? 0);
    const [start, end] = [Number(job["execution_start_time"] ?? 0), Number(job["execution_end_time"] ?? 0)];
    return start && end ? end - start : 0;
  };
  return jobs.toSorted((one, other) => (order === "asc" ? keyOf(one) - keyOf(other) : keyOf(other) - keyOf(one)));
}

function wholeNumber(text: string | null): number | "wrong" | undefined {
  if (text === null) return undefined;
  return /^\s*[+-]?\d{1,15}\s*$/.test(text) ? Number(text) : "wrong";
}

function wrong(error: string): { readonly error: string } {
  return { error };
}
