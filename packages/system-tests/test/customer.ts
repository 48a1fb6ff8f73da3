import { isTerminal, Job, type NewJobBody } from "@comfyq/contract";

/** The API, as a customer uses it. */
export interface Customer {
  get(path: string): Promise<Response>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Submits, expecting 201. */
  submit(body: NewJobBody): Promise<Job>;
  read(id: string): Promise<Job>;
  /** Looks until the job is as wanted; goes on while Redis is away (503). @throws Error when it ended otherwise */
  until(id: string, isWanted: (job: Job) => boolean): Promise<Job>;
}

const LOOK_EVERY_MS = 25;

/** @param troubles what to show when a job ends as nobody wanted */
export function asCustomer(url: string, troubles: () => string): Customer {
  const get = (path: string) => fetch(url + path);
  const post: Customer["post"] = (path, body, headers = {}) =>
    fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  const readIfThere = async (id: string): Promise<Job | undefined> => {
    const answer = await get(`/v1/jobs/${id}`);
    const text = await answer.text();
    return answer.status === 503 ? undefined : Job.parse(JSON.parse(text));
  };
  return {
    get,
    post,
    submit: async (body) => {
      const answer = await post("/v1/jobs", body);
      if (answer.status !== 201) throw new Error(`submit answered ${answer.status}: ${await answer.text()}`);
      return Job.parse(await answer.json());
    },
    read: async (id) => Job.parse(await (await get(`/v1/jobs/${id}`)).json()),
    until: async (id, isWanted) => {
      for (;;) {
        const job = await readIfThere(id);
        if (job && isWanted(job)) return job;
        if (job && isTerminal(job.status))
          throw new Error(`job ended as ${job.status} instead: ${JSON.stringify(job.error)}\n${troubles()}`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    },
  };
}
