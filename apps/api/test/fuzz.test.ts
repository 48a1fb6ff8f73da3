import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Rooms } from "../src/rooms.ts";
import { allRoutes } from "../src/routes/index.ts";
import { GRAPH, setup, type TestApi } from "./setup.ts";

// Every call that takes JSON, of every door: whatever is sent is answered, and never as a fault of ours.
let api: TestApi;
beforeAll(async () => {
  api = await setup();
});
afterAll(() => api[Symbol.asyncDispose]());

const ID = "01a2015c-011f-7a09-a25c-000000000000";
const ROUTES = allRoutes({ settings: { COMFYQ_DATA_DIR: "." } } as Rooms).filter(
  ({ body }) => body !== undefined && "application/json" in body,
);
const REFERENCE = { __type: "core/ASSET", info: { id: ID, hash: `blake3:${"0".repeat(64)}`, file_path: "a.png" } };

/** A body that is taken, to be bent: by the end of the path. */
const GOOD: readonly (readonly [RegExp, unknown])[] = [
  [
    /^\/api\/v2\/jobs$/,
    {
      workflow: { ...GRAPH, "5": { class_type: "L", inputs: { image: REFERENCE } } },
      extra_data: { api_key_comfy_org: "k" },
    },
  ],
  [
    /^\/api\/v2\/assets\/from-hash$/,
    { hash: `blake3:${"0".repeat(64)}`, file_path: "a.png", tags: ["x"], expires_in: 60 },
  ],
  [
    /\/runs$/,
    {
      prompt: GRAPH,
      files: { "/input/a.png": "https://a.example/a" },
      webhook: "https://b.example",
      accelerator: "T4",
    },
  ],
  [
    /./,
    {
      workflow: GRAPH,
      params: { "3.inputs.width": 8 },
      inputs: { "3.inputs.image": `asset:${ID}` },
      metadata: { a: [1] },
    },
  ],
];

/** Puts something else in one place of a value, any depth. */
const bent = (value: unknown): fc.Arbitrary<unknown> => {
  const rubbish = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom<unknown>(
      null,
      [],
      {},
      "",
      -1,
      1e308,
      "__proto__",
      "../../x",
      "\u0000",
      "x".repeat(5_000),
      REFERENCE,
    ),
  );
  if (typeof value !== "object" || value === null) return rubbish;
  const keys = Object.keys(value);
  const inside = keys.map((key) =>
    bent((value as Record<string, unknown>)[key]).map((other) => ({ ...value, [key]: other })),
  );
  const odd = fc.constantFrom("constructor", "toString", "__type", "", "a.inputs.b");
  return fc.oneof(
    rubbish,
    fc.tuple(odd, rubbish).map(([key, other]) => ({ ...value, [key]: other })),
    ...inside,
  );
};

/** JSON that is cut, or has a byte too many. */
const broken = (text: string) =>
  fc
    .tuple(fc.nat(text.length), fc.string({ maxLength: 3 }))
    .map(([at, more]) => text.slice(0, at) + more + text.slice(at + 1));

describe("no body makes a call fail", () => {
  test.each(ROUTES)("$method $path", async ({ method, path }) => {
    const good = GOOD.find(([pattern]) => pattern.test(path))?.[1];
    const body = fc.oneof(
      bent(good).map((value) => JSON.stringify(value) ?? ""),
      broken(JSON.stringify(good)),
    );
    const headers = fc.dictionary(
      fc.constantFrom(
        "comfyq-priority",
        "comfyq-pool",
        "comfyq-tags",
        "comfyq-run-at",
        "comfyq-webhook-url",
        "comfyq-x",
      ),
      fc.string({ unit: "grapheme-ascii", maxLength: 20 }).map((value) => value.trim()),
    );
    const address = path.replace(/\{\w+\}/g, ID);
    await fc.assert(
      fc.asyncProperty(body, headers, async (text, extra) => {
        const sent = {
          method: method.toUpperCase(),
          body: text,
          headers: { ...extra, "content-type": "application/json" },
        };
        const answer = await api.call(address, sent);
        expect([answer.status < 500, answer.text]).toEqual([true, answer.text]);
        if (answer.status >= 400) expect(answer.json.error).toMatchObject({ code: expect.any(String) });
      }),
      { numRuns: 150 },
    );
  });

  test.each(["{", "--x\r\n", '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'])(
    "an upload of %j is answered",
    async (body) => {
      for (const type of ["multipart/form-data; boundary=x", "multipart/form-data", "text/plain"])
        for (const path of ["/api/v2/assets", "/v1/assets"]) {
          const answer = await api.call(path, { method: "POST", body, headers: { "content-type": type } });
          expect([path, answer.status]).toEqual([path, type.startsWith("text") || !type.includes("=") ? 415 : 422]);
        }
    },
  );
});
