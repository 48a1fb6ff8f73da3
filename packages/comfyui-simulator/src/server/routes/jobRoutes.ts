import { isObject, jobsAnswer, pythonRepr, readJobsQuery } from "@comfyq/comfyui/wire";
import { cancelJob, findJob, listJobs } from "../../engine/jobs.ts";
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
  const asked = readJobsQuery(query);
  return "error" in asked ? wrong(asked.error) : json(jobsAnswer(listJobs(life), asked));
}
