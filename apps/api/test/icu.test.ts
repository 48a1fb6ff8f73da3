import { jobFailure } from "@comfyq/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GRAPH, problem, setup, type TestApi } from "./setup.ts";

let api: TestApi;
beforeAll(async () => {
  api = await setup();
});
afterAll(() => api[Symbol.asyncDispose]());

const RUNS = "/api/v1/workflows/wf_1/runs";
const run = (body: object, path = RUNS) => api.post(path, { prompt: GRAPH, ...body });

test("a run is a job: it is queued, fails and is listed as one, and only under its own workflow", async () => {
  const { status, json } = await run({ workflow_id: "wf_1" });
  expect([status, json.status, json.workflow_id]).toEqual([200, "QUEUED", "wf_1"]);
  const held = await api.claim();
  expect(held.id).toBe(json.id);
  expect((await api.call(`${RUNS}/${json.id}`)).json.status).toBe("RUNNING");
  await held.end({ kind: "failed", error: jobFailure("node_failed", "it broke") });
  expect((await api.call(`${RUNS}/${json.id}`)).json).toMatchObject({ status: "ERROR", error: "it broke", output: [] });
  expect((await api.call(RUNS)).json.map(({ id }: { id: string }) => id)).toEqual([json.id]);
  const elsewhere = `/api/v1/workflows/other/runs/${json.id}`;
  expect(problem(await api.call(elsewhere))).toMatchObject({ status: 404, code: "not_found" });
  expect((await api.call("/api/v1/workflows/other/runs")).json).toEqual([]);
});

test("files and values come back as they are: files with links, values not at all", async () => {
  const { json } = await run({});
  await api.succeed(await api.claim(), { "a.png": "png" }, [{ node_id: "4", name: "n", type: "value", value: 1 }]);
  const { output } = (await api.call(`${RUNS}/${json.id}`)).json;
  expect(output).toEqual([
    {
      filename: "a.png",
      url: expect.any(String),
      node_id: "9",
      content_type: "image/png",
      size: 3,
      thumbnail_url: null,
    },
  ]);
  expect((await api.call(output[0].url)).text).toBe("png");
});

test.each([
  ["an unknown field", { gpu: "H100" }, "gpu"],
  ["an unknown accelerator", { accelerator: "B9000" }, "accelerator"],
  ["a workflow that is not the path's", { workflow_id: "wf_2" }, "workflow_id"],
  ["a webhook that is no address", { webhook: "here" }, "webhook.url"],
  [
    "a file that leads out of its folder",
    { files: { "/input/../../x": "https://a.example/x" } },
    "files./input/../../x",
  ],
])("%s is refused by its path", async (_what, body, path) => {
  const answer = await run(body);
  expect(problem(answer)).toMatchObject({ status: 422, code: "invalid_request" });
  expect(answer.json.error.details[0].path).toBe(path);
});

test("the editor's format and a workflow's name that is none are told so", async () => {
  expect(problem(await run({ prompt: { nodes: [], links: [] } })).code).toBe("workflow_format_ui");
  expect(problem(await run({}, "/api/v1/workflows/a%20b/runs"))).toMatchObject({ status: 404, code: "not_found" });
});

test("an accelerator is the pool of its name, where there is one, and else no more than a wish", async () => {
  const poolOf = async (accelerator: string) => (await api.read((await run({ accelerator })).json.id)).pool;
  await api.post("/v1/jobs", { workflow: GRAPH, pool: "h100" });
  expect(await poolOf("H100")).toBe("h100");
  expect(await poolOf("T4")).toBe("default");
});
