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

describe.concurrent("a part of a graph that the server dropped", () => {
  const dropped = { "3": { class_type: "SaveVideo", dependent_outputs: ["3"] } };

  test("is told although the answer that said so was lost: never a silent success", async () => {
    await using stage = await stageWithClasses();
    stage.script.routes["POST /prompt"] = () => {
      stage.script.running = [PARTIAL];
      return "reset";
    };
    const { nodeErrors } = await stage.comfyui.submit({ promptId: PROMPT_ID, workflow: GRAPH });
    expect(nodeErrors).toMatchObject(dropped);
    expect(stage.server.seen("POST", "/prompt")).toHaveLength(1);
  });

  test("is not what the submission left out itself", async () => {
    await using stage = await stageWithClasses();
    stage.script.routes["POST /prompt"] = () => {
      stage.script.running = [PARTIAL];
      return "reset";
    };
    const { nodeErrors } = await stage.comfyui.submit({ promptId: PROMPT_ID, workflow: GRAPH, onlyOutputs: ["2"] });
    expect(nodeErrors).toEqual({});
  });

  test.each(["pending", "running", "finished"])("is seen of a %s prompt that is found later", async (place) => {
    await using stage = await stageWithClasses();
    if (place === "finished") stage.script.history.set(PROMPT_ID, successEntry(PARTIAL, {}));
    else stage.script[place === "pending" ? "pending" : "running"] = [PARTIAL];
    const found = await stage.comfyui.find(PROMPT_ID);
    expect(found.kind).toBe(place);
    expect(await stage.comfyui.droppedOutputs(found)).toMatchObject(dropped);
  });

  test("is nothing when all outputs run, or the server does not show which do", async () => {
    await using stage = await stageWithClasses();
    stage.script.running = [[0, PROMPT_ID, GRAPH, {}, ["2", "3"]]];
    expect(await stage.comfyui.droppedOutputs(await stage.comfyui.find(PROMPT_ID))).toEqual({});
    stage.script.running = [[0, PROMPT_ID, GRAPH, {}, []]];
    expect(await stage.comfyui.droppedOutputs(await stage.comfyui.find(PROMPT_ID))).toEqual({});
    expect(await stage.comfyui.droppedOutputs({ kind: "unknown" })).toEqual({});
  });

  test("is not suspected of a custom node that cannot describe itself", async () => {
    await using stage = await stageWithClasses();
    stage.script.routes["GET /object_info/EmptyImage"] = () => ({ status: 500, text: "500 Internal Server Error" });
    stage.script.running = [PARTIAL];
    expect(await stage.comfyui.droppedOutputs(await stage.comfyui.find(PROMPT_ID))).toMatchObject(dropped);
  });

  test("is an error when nobody can be asked, and not taken for nothing", async () => {
    await using stage = await stageWithClasses();
    stage.script.routes["GET /object_info/SaveVideo"] = () => "reset";
    stage.script.running = [PARTIAL];
    const found = await stage.comfyui.find(PROMPT_ID);
    await expect(stage.comfyui.droppedOutputs(found)).rejects.toMatchObject({ code: "unreachable" });
  });
});
