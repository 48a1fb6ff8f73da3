import { isTerminal, Job, JobPage } from "@comfyq/contract";
import type { Fleet, Tenant } from "./fleet.ts";
import type { Order } from "./graphs.ts";

/** An answer of the API; status 0 when there was none. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** A job that was answered with 2xx. */
export interface Accepted {
  readonly id: string;
  readonly tenant: Tenant;
  readonly webhook: boolean;
}

/** Longer than any answer of a healthy API takes; a frozen one is given up. */
const PATIENCE_MS = 4_000;
const RETRY_MS = 250;

interface Request {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Asks the API as a tenant. Never throws: what nobody answered has the status 0. */
export async function ask(fleet: Fleet, tenant: Tenant, path: string, options: Request = {}): Promise<Answer> {
  const headers = {
    authorization: `Bearer ${fleet.keys[tenant]}`,
    "content-type": "application/json",
    ...options.headers,
  };
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(fleet.url + path, { signal, ...options, headers });
    const text = await answer.text();
    return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) };
  } catch {
    return { status: 0, body: undefined };
  }
}

export interface Submission {
  readonly tenant: Tenant;
  readonly kind: string;
  readonly order: Order;
  /** Idempotency-Key: makes it safe to send again when no answer came. */
  readonly key: string;
  /** When to give up sending, as `performance.now()` counts. */
  readonly untilMs: number;
}

/** Submits until there is an answer, as a careful customer does. @returns undefined when it was refused, or never answered */
export async function submit(
  fleet: Fleet,
  { tenant, kind, order, key, untilMs }: Submission,
): Promise<Accepted | undefined> {
  const { history } = fleet;
  const webhook = order.body.webhook !== undefined;
  for (;;) {
    const request = { method: "POST", headers: { "idempotency-key": key }, body: JSON.stringify(order.body) };
    const { status, body } = await ask(fleet, tenant, "/v1/jobs", request);
    if (status === 201) {
      const { id } = Job.pick({ id: true }).parse(body);
      history.note(tenant, { op: "accepted", job: id, tenant, kind, webhook, sizes: [...order.sizes] });
      return { id, tenant, webhook };
    }
    const isFinal = status >= 400 && status < 500 && status !== 429;
    if (isFinal || performance.now() > untilMs) {
      history.note(tenant, { op: "refused", kind, status });
      return undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** Reads a job and notes what was seen. @returns undefined when the API gave no usable answer */
export async function look(fleet: Fleet, { id, tenant }: Accepted): Promise<{ readonly isOver: boolean } | undefined> {
  const asked = performance.timeOrigin + performance.now();
  const { status, body } = await ask(fleet, tenant, `/v1/jobs/${id}`);
  if (status === 404) {
    fleet.history.note(tenant, { op: "observed", job: id, status: "gone", asked });
    return { isOver: false };
  }
  if (status !== 200) return undefined;
  const job = Job.parse(body);
  fleet.history.note(tenant, { op: "observed", job: id, status: job.status, code: job.error?.code ?? null, asked });
  return { isOver: isTerminal(job.status) };
}

/** Asks for a job to be canceled, until there is an answer. */
export async function cancel(fleet: Fleet, { id, tenant }: Accepted, untilMs: number): Promise<void> {
  for (;;) {
    const { status } = await ask(fleet, tenant, `/v1/jobs/${id}/cancel`, { method: "POST" });
    fleet.history.note(tenant, { op: "cancel_asked", job: id, status });
    if ((status >= 200 && status < 500 && status !== 429) || performance.now() > untilMs) return;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** What somebody else tries with a job's id. */
const PEEKS = [
  { what: "read", method: "GET", path: "" },
  { what: "read the attempts of", method: "GET", path: "/attempts" },
  { what: "read the workflow of", method: "GET", path: "/workflow" },
  { what: "watch", method: "GET", path: "/events" },
  { what: "fetch from", method: "GET", path: "/outputs/chaos_00001_.png" },
  { what: "retry", method: "POST", path: "/retry" },
  { what: "cancel", method: "POST", path: "/cancel" },
] as const;

/** The other tenant tries to get at a job in every way there is. */
export async function peek(fleet: Fleet, { id, tenant: owner }: Accepted): Promise<void> {
  const by: Tenant = owner === "alpha" ? "beta" : "alpha";
  const note = (what: string, status: number, found: boolean) =>
    fleet.history.note(by, { op: "peek", job: id, owner, by, what, status, found });
  for (const { what, method, path } of PEEKS) {
    const status = await statusOf(fleet, by, { method, path: `/v1/jobs/${id}${path}` });
    note(what, status, status >= 200 && status < 300);
  }
  const { status, body } = await ask(fleet, by, "/v1/jobs?limit=100");
  if (status === 200)
    note(
      "list",
      status,
      JobPage.parse(body).jobs.some((job) => job.id === id),
    );
}

/** The status alone: an event stream's body would not end. */
async function statusOf(fleet: Fleet, tenant: Tenant, call: { readonly method: string; readonly path: string }) {
  const headers = { authorization: `Bearer ${fleet.keys[tenant]}` };
  const hangUp = new AbortController();
  try {
    const signal = AbortSignal.any([hangUp.signal, AbortSignal.timeout(PATIENCE_MS)]);
    const { status } = await fetch(fleet.url + call.path, { method: call.method, headers, signal });
    return status;
  } catch {
    return 0;
  } finally {
    hangUp.abort();
  }
}
