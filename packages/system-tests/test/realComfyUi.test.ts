import { expect, test } from "vitest";
import { copyImage, example, PIXEL, valuesOnly } from "./graphs.ts";
import { isFinished, setup } from "./setup.ts";

const url = process.env["COMFYUI_URL"];

test.skipIf(url === undefined)(
  "the main job runs on a real ComfyUI without a model (skipped unless COMFYUI_URL names one)",
  async () => {
    await using system = await setup({ comfyUiUrls: [String(url)] });
    const jobs = await Promise.all([
      system.submit({ workflow: example("model-free") }),
      system.submit({ workflow: valuesOnly }),
      system.submit({ workflow: copyImage("x.png"), inputs: { "10.inputs.image": `data:image/png;base64,${PIXEL}` } }),
    ]);
    const ended = await Promise.all(jobs.map(({ id }) => system.until(id, isFinished)));
    expect(ended.map(({ status, error }) => [status, error])).toEqual(ended.map(() => ["succeeded", null]));
    expect(ended.map(({ outputs }) => outputs.map(({ type }) => type))).toEqual([["image"], ["value"], ["image"]]);
  },
  120_000,
);
