import type { LimitsView, WebhookEndpoint } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import { createProgram } from "../src/program.ts";
import { hearStdout, refusal, standInApi } from "./standIn.ts";

const written = hearStdout();

/** An endpoint as the API shows it, in whatever of its facts a test needs. */
function endpoint(facts: Partial<WebhookEndpoint> = {}): WebhookEndpoint {
  return {
    id: "00000000-0000-7000-8000-000000000003",
    url: "https://example.com/in",
    events: ["job.succeeded", "job.failed"],
    description: "the shop",
    header_names: ["Authorization"],
    metadata: {},
    status: "enabled",
    disabled_reason: null,
    disabled_at: null,
    created_at: "2026-11-22T10:00:00.000Z",
    updated_at: "2026-11-22T10:00:00.000Z",
    old_secret_until: null,
    ...facts,
  };
}

const DISABLED = endpoint({
  status: "disabled",
  disabled_reason: "It answered 410 Gone",
  disabled_at: "2026-11-27T10:00:00.000Z",
});

const run = (...args: readonly string[]) => createProgram(() => undefined).parseAsync(["node", "comfyq", ...args]);

test("webhooks list and show say why an endpoint is disabled, and how to enable it; values of headers are nowhere", async () => {
  const asked = await standInApi(
    { json: { endpoints: [endpoint(), DISABLED] } },
    { json: DISABLED },
    { json: endpoint() },
  );
  await run("webhooks");
  expect(written.join("")).toMatch(/enabled .*job\.succeeded job\.failed\n.*disabled .*It answered 410 Gone/);
  await run("webhooks", "show", DISABLED.id);
  expect(written.at(-1)).toContain("is disabled: the shop");
  expect(written.at(-1)).toContain(`webhooks enable ${DISABLED.id}`);
  expect(written.at(-1)).toContain("Authorization   (values are not shown)");
  await run("webhooks", "show", endpoint().id);
  expect(written.at(-1)).not.toContain("enable ");
  expect(asked.map(({ call }) => call)).toEqual([
    "GET /v1/webhooks",
    `GET /v1/webhooks/${DISABLED.id}`,
    `GET /v1/webhooks/${endpoint().id}`,
  ]);
});

test("webhooks enable sends to an endpoint again, and says how to send what it missed", async () => {
  const asked = await standInApi({ json: endpoint() });
  await run("webhooks", "enable", endpoint().id);
  expect(asked).toMatchObject([{ call: `POST /v1/webhooks/${endpoint().id}/enable` }]);
  expect(written.join("")).toContain(`deliveries redeliver --endpoint ${endpoint().id} --since`);
});

test("webhooks create and change say what was typed, and nothing else; headers go along as they were typed", async () => {
  const made = { ...endpoint(), secret: "whsec_x" };
  const asked = await standInApi({ json: made }, { json: endpoint() });
  const header = ["-H", "Authorization: Bearer a:b"];
  await run("webhooks", "create", "https://example.com/in", "--events", "job.failed, queue.idle", ...header);
  await run("webhooks", "change", endpoint().id, "--url", "https://example.com/new");
  expect(asked).toMatchObject([
    {
      call: "POST /v1/webhooks",
      body: { events: ["job.failed", "queue.idle"], headers: { Authorization: "Bearer a:b" } },
    },
    { call: `PUT /v1/webhooks/${endpoint().id}`, body: { url: "https://example.com/new" } },
  ]);
  expect(asked[1]?.body).toEqual({ url: "https://example.com/new" });
  await expect(run("webhooks", "change", endpoint().id)).rejects.toThrow("What is to be changed?");
  await expect(run("webhooks", "create", "https://x", "-H", "nothing")).rejects.toThrow("--header nothing is none");
});

test("webhooks secret prints the secret of jobs' webhooks and nothing else, and replaces it when asked", async () => {
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const rotated = { secret: "whsec_new", old_secret_until: null };
  const asked = await standInApi({ json: { secret: "whsec_old" } }, { json: rotated });
  await run("webhooks", "secret");
  await run("webhooks", "secret", "--rotate", "--overlap", "0");
  expect(written).toEqual(["whsec_old\n", "whsec_new\n"]);
  expect(asked).toMatchObject([
    { call: "GET /v1/webhooks/secret" },
    { call: "POST /v1/webhooks/secret/rotate", body: { overlap_s: 0 } },
  ]);
  await expect(run("webhooks", "secret", "--overlap", "0")).rejects.toThrow("--overlap goes with --rotate");
});

test("what the API refuses of an endpoint is told in its words, and is bad input", async () => {
  await standInApi(refusal(404, "not_found", "There is no webhook endpoint"));
  await expect(run("webhooks", "enable", "nonsense")).rejects.toThrow("There is no webhook endpoint");
});

test("limits shows what is used of what, and when the day begins anew", async () => {
  const view: LimitsView = {
    tenant: "acme",
    queued: { limit: 50, used: 3 },
    running: { limit: null, used: 1 },
    requests_per_s: { limit: 20 },
    gpu_seconds_per_day: { limit: 7_200, used: 41.24, resets_in_s: 30_211 },
  };
  await standInApi({ json: view }, { json: view });
  await run("limits");
  const text = written.join("");
  expect(text).toMatch(/^Tenant acme\n/);
  expect(text).toMatch(/^jobs queued +3 +50$/m);
  expect(text).toMatch(/^jobs running +1 +none$/m);
  expect(text).toMatch(/^API calls per second +20$/m);
  expect(text).toMatch(/^GPU seconds today \(UTC\) +41\.2 +7200; from 0 again in 8 h 24 min$/m);
  await run("limits", "--json");
  expect(JSON.parse(written.at(-1) ?? "")).toEqual(view);
});
