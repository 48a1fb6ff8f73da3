import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ComfyError } from "../src/errors.ts";
import { type ComfyUi, connectComfyUi } from "../src/index.ts";
import { PROMPT_ID, WORKFLOW } from "./support/comfyScript.ts";
import { type Reply, ScriptedServer } from "./support/scriptedServer.ts";

const KEY = "comfyui-MARKER0123456789";
const LIMITS = {
  requestTimeoutMs: 150,
  submitTimeoutMs: 150,
  unreachableMs: 150,
  idleMs: 150,
  pollMs: 5,
  heartbeatMs: 50,
};

const STATES = ["submitted", "pending", "executing", "success", "error", "lost", "cancelled", "new_state", ""];
const file = fc.record({
  filename: fc.constantFrom("a.png", "../../etc/passwd", "", "é\u0000.png", "f".repeat(300)),
  subfolder: fc.constantFrom("", "..", "comfyq/x-1", "/abs"),
  type: fc.constantFrom("output", "temp", "input", "other"),
});
const body: fc.Arbitrary<unknown> = fc.oneof(
  fc.record({ id: fc.constant(PROMPT_ID), status: fc.constantFrom(...STATES), error_message: fc.option(fc.string()) }),
  fc.record({
    prompt_id: fc.oneof(fc.constant(PROMPT_ID), fc.string()),
    number: fc.integer(),
    node_errors: fc.anything(),
  }),
  fc.record({ code: fc.string(), message: fc.string() }),
  fc.record({
    error: fc.oneof(fc.string(), fc.record({ type: fc.constantFrom("QUEUE_LIMIT", "PAYMENT_REQUIRED", "x") })),
  }),
  fc
    .record({
      outputs: fc.record({ "2": fc.record({ images: fc.array(file, { maxLength: 3 }) }) }),
      status: fc.anything(),
    })
    .map((entry) => ({ [PROMPT_ID]: entry, ...entry, id: PROMPT_ID })),
  fc.record({ queue_running: fc.array(fc.anything(), { maxLength: 2 }), queue_pending: fc.anything() }),
  fc.record({ history: fc.array(fc.anything(), { maxLength: 2 }) }),
  fc.jsonValue(),
);

/** Where a cloud, or whoever stands in for it, may redirect to; `$` is a host of its own. */
const LOCATIONS = [
  "$/signed?sig=SIGNATURE",
  "/api/view?again",
  "//",
  "javascript:alert(1)",
  "http://127.0.0.1:1/x?sig=SIGNATURE",
  "\u0000",
];
const reply: fc.Arbitrary<Reply | { readonly redirect: string }> = fc.oneof(
  { weight: 6, arbitrary: body.map((json): Reply => ({ json })) },
  {
    weight: 4,
    arbitrary: fc
      .record({
        status: fc.constantFrom(204, 400, 401, 402, 403, 404, 413, 429, 500, 502, 503),
        json: body,
        after: fc.constantFrom("", "1", "x"),
      })
      .map(
        ({ status, json, after }): Reply => ({ status, json, headers: after === "" ? {} : { "retry-after": after } }),
      ),
  },
  { weight: 1, arbitrary: fc.constantFrom<Reply>("reset", "hang", { text: "<html>" }, { text: '{"id": ' }) },
  { weight: 2, arbitrary: fc.constantFrom(...LOCATIONS).map((redirect) => ({ redirect })) },
);

const signal = () => AbortSignal.timeout(400);
const CALLS: Readonly<Record<string, (comfyui: ComfyUi) => Promise<unknown>>> = {
  submit: (comfyui) => comfyui.submit({ promptId: PROMPT_ID, workflow: WORKFLOW, signal: signal() }),
  find: (comfyui) => comfyui.find(PROMPT_ID, { signal: signal() }),
  watch: (comfyui) => comfyui.watch(PROMPT_ID, { signal: signal(), stallMs: 100, workflow: WORKFLOW }),
  cancel: (comfyui) => comfyui.cancel(PROMPT_ID, { deadlineMs: 100, signal: signal() }),
  seek: (comfyui) => comfyui.seek(({ promptId }) => promptId === PROMPT_ID, { signal: signal() }),
  features: (comfyui) => comfyui.features(),
  upload: (comfyui) => comfyui.upload({ name: "a.png", body: Buffer.from("x"), signal: signal() }),
  view: async (comfyui) => buffer((await comfyui.view({ filename: "a.png" }, { signal: signal() })).body),
};

/** Everything that an error says, in whatever depth. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const facts = error instanceof ComfyError ? JSON.stringify(error.facts) : "";
  return `${error.message} ${facts} ${error.cause === undefined ? "" : wordsOf(error.cause)}`;
}

test("whatever a cloud answers, every call ends in an answer or an error of ours, and the key goes nowhere else", async () => {
  await using elsewhere = await ScriptedServer.start(() => ({ bytes: Buffer.from("pixels") }));
  let answers: readonly (Reply | { readonly redirect: string })[] = [];
  let asked = 0;
  await using cloud = await ScriptedServer.start(() => {
    const answer = answers[asked % answers.length] ?? "reset";
    asked += 1;
    if (typeof answer === "string" || !("redirect" in answer)) return answer;
    return { status: 302, headers: { location: answer.redirect.replace("$", elsewhere.url).replace("\u0000", "%00") } };
  });
  const story = fc.record({
    name: fc.constantFrom(...Object.keys(CALLS)),
    answers: fc.array(reply, { minLength: 1, maxLength: 4 }),
  });
  const redirects = LOCATIONS.map((redirect): [{ name: string; answers: { redirect: string }[] }] => [
    { name: "view", answers: [{ redirect }] },
  ]);
  await fc.assert(
    fc.asyncProperty(story, async (plan) => {
      answers = plan.answers;
      asked = 0;
      const comfyui = connectComfyUi({ url: cloud.url, apiKey: KEY, dialect: "cloud", ...LIMITS });
      try {
        await CALLS[plan.name]?.(comfyui);
      } catch (error) {
        const isOurs =
          error instanceof ComfyError || (error instanceof Error && /Timeout|TimeoutError/.test(error.name));
        expect(isOurs, `${plan.name} threw ${wordsOf(error)}`).toBe(true);
        expect(wordsOf(error)).not.toMatch(/MARKER|SIGNATURE/);
      } finally {
        await comfyui.close();
      }
    }),
    { numRuns: 250, examples: redirects },
  );
  expect(elsewhere.requests.length).toBeGreaterThan(0);
  expect(JSON.stringify(elsewhere.requests.map(({ headers }) => headers))).not.toContain("MARKER");
  expect(cloud.requests.filter(({ path }) => path === "/api/view").length).toBeGreaterThan(0);
}, 120_000);
