import type { RetriedJob } from "@comfyq/contract";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { cancel } from "../src/commands/cancel.ts";
import { retry } from "../src/commands/retry.ts";
import { job, refusal, standInApi } from "./standIn.ts";

let written = "";
beforeEach(() => {
  written = "";
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, "write").mockImplementation((text) => {
      written += String(text);
      return true;
    });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;
const pair = (n: number, facts: Partial<RetriedJob> = {}): RetriedJob => ({
  from: id(n),
  to: id(100 + n),
  code: "timeout",
  replayed: false,
  ...facts,
});
const report = (retried: readonly RetriedJob[], next_cursor: string | null = null) => ({
  json: { matched: retried.length, retried, next_cursor },
});

test("retry --failed with filters asks for just that, and tells what was made and why it had failed", async () => {
  const pairs = [pair(1, { code: "poison" }), pair(2), pair(3), pair(4, { replayed: true })];
  const asked = await standInApi(report(pairs));
  const options = { failed: true, tag: "red", pool: "big", after: "2026-01-01T00:00:00Z", key: "k" };
  expect(await retry([], options)).toBe(0);
  expect(asked).toEqual([
    {
      call: "POST /v1/jobs/retry",
      key: "k",
      body: { status: "failed", tag: "red", pool: "big", created_after: options.after, limit: 1_000 },
    },
  ]);
  expect(written).toMatch(new RegExp(`^JOB .*\n${id(1)}  ${id(101)}  poison\n`));
  expect(written).toContain("Retried 3 failed jobs (2 timeout, 1 poison); 1 retried before is left as it is.\n");
});

test("a dry run says so, and what is more than one page says how to go on", async () => {
  const asked = await standInApi(report([pair(1, { to: null, code: null })], "next"));
  await retry([], { expired: true, dryRun: true, limit: 1 });
  expect(asked[0]?.body).toMatchObject({ status: "expired", dry_run: true, limit: 1 });
  expect(written).toContain("Would retry 1 expired job.\n");
  expect(written).toMatch(/There may be more: .* retry --expired … --cursor next\n$/);
});

test("more than one request takes is asked for in several, until the limit", async () => {
  const asked = await standInApi(report([pair(1), pair(2)], "a"), report([], "b"), report([pair(3)], "c"));
  await retry([], { failed: true, limit: 3, json: true });
  expect(asked.map(({ body }) => body)).toMatchObject([
    { limit: 3 },
    { limit: 1, cursor: "a" },
    { limit: 1, cursor: "b" },
  ]);
  expect(JSON.parse(written)).toMatchObject({ matched: 3, next_cursor: "c" });
});

test("what was retried before an error is told, and the error too", async () => {
  await standInApi(report([pair(1)], "next"), refusal(503, "queue_full", "Pool big is full"));
  await expect(retry([], { failed: true })).rejects.toThrow("Pool big is full");
  expect(written).toContain(id(101));
  expect(written).toContain("--cursor next");
});

test("nothing to retry is told as such", async () => {
  await standInApi(report([]));
  await retry([], { canceled: true });
  expect(written).toBe("No canceled jobs to retry.\n");
});

test("jobs by name are each retried; one that cannot be does not spare the others", async () => {
  const asked = await standInApi(refusal(409, "conflict", "is still running"), { json: job({ id: id(9) }) });
  expect(await retry([id(1), id(2)], {})).toBe(1);
  expect(asked.map(({ call }) => call)).toEqual([`POST /v1/jobs/${id(1)}/retry`, `POST /v1/jobs/${id(2)}/retry`]);
  expect(written).toBe(`Job ${id(1)}: is still running\nJob ${id(9)} queued, from ${id(2)}\n`);
});

test.each([
  [[], {}, "--failed, --canceled or --expired"],
  [[], { code: "poison" }, "--failed, --canceled or --expired"],
  [[id(1)], { failed: true }, "both at once"],
  [[id(1)], { dryRun: true }, "both at once"],
] as const)("retry %j %j is a mistake, and nobody is asked", async (ids, options, words) => {
  const asked = await standInApi();
  await expect(retry(ids, options)).rejects.toThrow(
    expect.objectContaining({ code: "bad_input", message: expect.stringContaining(words) }),
  );
  expect(asked).toEqual([]);
});

test("cancel says how a GPU was stopped once that is known, and else how to see it", async () => {
  const stop = { stop_ms: 412, ignored_by: null, escalation: "none" } as const;
  await standInApi(
    { json: job({ id: id(1), status: "canceling" }) },
    { json: job({ id: id(2), status: "canceled", stop }) },
  );
  expect(await cancel([id(1), id(2)], {})).toBe(0);
  expect(written).toMatch(new RegExp(`^Job ${id(1)} canceling\n  see it stop: .* watch ${id(1)}\n`));
  expect(written).toMatch(new RegExp(`Job ${id(2)} canceled \\(the GPU stopped after 0.4 s\\)\n$`));
});

test("cancel --watch stays until the GPU has stopped, and tells how", async () => {
  const stop = {
    stop_ms: 41_000,
    ignored_by: { node_id: "7", class_type: "SimStubborn" },
    escalation: "restart",
  } as const;
  const end = { status: "canceled", stage: null, attempt: 1, error: null };
  await standInApi(
    { json: job({ id: id(1), status: "canceling" }) },
    { json: `event: status\ndata: ${JSON.stringify(end)}\n\n` },
    { json: job({ id: id(1), status: "canceled", stop }) },
  );
  expect(await cancel([id(1)], { watch: true })).toBe(0);
  expect(written).toBe(
    `Job ${id(1)} canceling\nJob ${id(1)} canceled (node 7 (SimStubborn) ignored the interrupt; ` +
      "ComfyUI was restarted; the GPU stopped after 41.0 s)\n",
  );
});
