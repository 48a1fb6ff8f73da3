import { validate } from "@apidevtools/swagger-parser";
import { API_ERRORS, NewJob } from "@comfyq/contract";
import { createLogger, readEnv } from "@comfyq/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApp } from "../src/app.ts";
import { ApiEnv } from "../src/config.ts";
import { openRooms } from "../src/openRooms.ts";
import { setup, type TestApi } from "./setup.ts";

let api: TestApi;
// biome-ignore lint/suspicious/noExplicitAny: a document is read here as its readers do
let document: any;
beforeAll(async () => {
  api = await setup();
  document = (await api.call("/openapi.json")).json;
});
afterAll(() => api[Symbol.asyncDispose]());

interface Operation {
  readonly responses: Readonly<Record<string, unknown>>;
  readonly security?: unknown;
  readonly parameters?: readonly { readonly in: string }[];
}

describe("the OpenAPI document", () => {
  test("is valid OpenAPI 3.1", async () => {
    expect(document.openapi).toBe("3.1.0");
    await expect(validate(structuredClone(document))).resolves.toBeDefined();
  });

  test("names every path and method that the app answers, and no other", async () => {
    const logger = createLogger({ name: "api", level: "silent" });
    const env = { REDIS_URL: api.redis.url, COMFYQ_DATA_DIR: api.dataDir };
    const rooms = await openRooms(readEnv(ApiEnv, { env }), logger, new AbortController().signal);
    const app = await createApp(rooms);
    await rooms.producer.close();
    const served = new Set<string>();
    // `router.stack` is how express 5 keeps its routes; it has no public list of them.
    const stack = (app.router as unknown as { stack: { route?: { path: string; methods: Record<string, boolean> } }[] })
      .stack;
    for (const { route } of stack)
      for (const method of Object.keys(route?.methods ?? {}))
        if (route && method !== "_all") served.add(`${method} ${route.path.replace(/[:*](\w+)/g, "{$1}")}`);
    served.delete("get /"); // leads to /docs
    const documented = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item as object).map((method) => `${method} ${path}`),
    );
    expect([...served].sort()).toEqual(documented.sort());
  });

  test("says of every call with a key what refuses it, and of every body what it may be", () => {
    for (const [path, item] of Object.entries<Record<string, Operation>>(document.paths))
      for (const { responses, security, parameters = [] } of Object.values(item)) {
        const refusals = security === undefined ? ["401", "403", "429"] : [];
        expect([path, Object.keys(responses)]).toEqual([path, expect.arrayContaining([...refusals, "500", "503"])]);
        const inPath = parameters.filter((parameter) => parameter.in === "path").length;
        expect([path, inPath]).toEqual([path, path.split("{").length - 1]);
      }
    const { NewJob: documented, Error: error } = document.components.schemas;
    expect(Object.keys(documented.properties).sort()).toEqual(Object.keys(NewJob.shape).sort());
    expect(documented.additionalProperties).toBe(false);
    expect(error.properties.error.properties.code.enum).toEqual(Object.keys(API_ERRORS));
  });

  test("its example of a submission is taken as it stands", async () => {
    const { example } = document.paths["/v1/jobs"].post.requestBody.content["application/json"];
    expect((await api.post("/v1/jobs", example)).status).toBe(201);
  });
});

describe("the reference page", () => {
  test("is made of files of ours, and may ask nobody else", async () => {
    const page = await api.call("/docs");
    expect(page.text).toContain('<meta charset="utf-8">');
    const scripts = [...page.text.matchAll(/src="([^"]+)"/g)].map(([, src]) => `/${src}`);
    expect(scripts).toEqual(["/docs/scalar.js", "/docs/start.js"]);
    for (const script of scripts) {
      const answer = await api.call(script);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toContain("javascript");
    }
    expect(page.headers.get("content-security-policy")).toContain("connect-src 'self'");
    expect((await api.call("/docs/start.js")).text).toContain("withDefaultFonts: false");
  });
});

describe("a path that is there under another method", () => {
  test("is answered with 405 and what is allowed; one that is not there with 404", async () => {
    const put = await api.call("/v1/jobs", { method: "PUT" });
    expect(put.status).toBe(405);
    expect(put.headers.get("allow")).toBe("POST, GET, HEAD");
    expect(put.json.error).toEqual({
      code: "method_not_allowed",
      message: "PUT is not taken here, only POST, GET, HEAD; see /docs",
      details: [],
    });
    const none = await api.call("/v1/jbos");
    expect(none).toMatchObject({ status: 404, json: { error: { code: "not_found" } } });
    expect((await api.call("/v1/jobs/%zz")).json.error.code).toBe("not_found");
  });
});
