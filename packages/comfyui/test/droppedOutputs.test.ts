import { describe, expect, test } from "vitest";
import { PROMPT_ID, type Stage, setup, successEntry, type Tuple } from "./support/comfyScript.ts";

const GRAPH = {
  "1": { class_type: "EmptyImage", inputs: {} },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0] } },
  "3": { class_type: "SaveVideo", inputs: {} },
};
/** As the queue shows it: the server found node 3 invalid, and runs node 2. */
const PARTIAL: Tuple = [0, PROMPT_ID, GRAPH, {}, ["2"]];
const OUTPUT_CLASSES = ["SaveImage", "SaveVideo"];

/** A server that knows which of the classes are outputs. */
async function stageWithClasses(): Promise<Stage> {
  const stage = await setup();
  for (const { class_type } of Object.values(GRAPH)) {
    stage.script.routes[`GET /object_info/${class_type}`] = () => ({
      json: { [class_type]: { name: class_type, output_node: OUTPUT_CLASSES.includes(class_type) } },
    });
  }
  return stage;
}

/** Submits the graph to a server that takes it in this way, and loses the answer. */
async function submitAndLose(stage: Stage, tuple: Tuple, options: { place?: string; onlyOutputs?: string[] } = {}) {
  const { place = "running", ...rest } = options;
  stage.script.routes["POST /prompt"] = () => {
    if (place === "finished") stage.script.history.set(PROMPT_ID, successEntry(tuple, {}));
    else stage.script[place === "pending" ? "pending" : "running"] = [tuple];
    return "reset";
  };
  const { nodeErrors } = await stage.comfyui.submit({ promptId: PROMPT_ID, workflow: GRAPH, ...rest });
  expect(stage.server.seen("POST", "/prompt")).toHaveLength(1);
  return nodeErrors;
}

describe.concurrent("a part of a graph that the server dropped, and said so in an answer that was lost,", () => {
  const dropped = { "3": { class_type: "SaveVideo", dependent_outputs: ["3"] } };

  test.each(["pending", "running", "finished"])("is known of a prompt that is %s: no silent success", async (place) => {
    await using stage = await stageWithClasses();
    expect(await submitAndLose(stage, PARTIAL, { place })).toMatchObject(dropped);
  });

  test("is not what the submission left out itself", async () => {
    await using stage = await stageWithClasses();
    expect(await submitAndLose(stage, PARTIAL, { onlyOutputs: ["2"] })).toEqual({});
  });

  test("is nothing when all outputs run, or the server does not show which do", async () => {
    await using stage = await stageWithClasses();
    expect(await submitAndLose(stage, [0, PROMPT_ID, GRAPH, {}, ["2", "3"]])).toEqual({});
    await using silent = await stageWithClasses();
    expect(await submitAndLose(silent, [0, PROMPT_ID, GRAPH, {}, []])).toEqual({});
  });

  test("is not suspected of a custom node that cannot describe itself", async () => {
    await using stage = await stageWithClasses();
    stage.script.routes["GET /object_info/EmptyImage"] = () => ({ status: 500, text: "500 Internal Server Error" });
    expect(await submitAndLose(stage, PARTIAL)).toMatchObject(dropped);
  });

  test("is an error when nobody can be asked, and not taken for nothing", async () => {
    await using stage = await stageWithClasses();
    stage.script.routes["GET /object_info/SaveVideo"] = () => "reset";
    const error = { code: "unreachable", facts: { confirmedAbsent: false } };
    await expect(submitAndLose(stage, PARTIAL)).rejects.toMatchObject(error);
  });
});
