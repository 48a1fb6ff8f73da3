import { isObject } from "@comfyq/comfyui/wire";
import type { ShownEntry } from "../comfyui/promptHistory.ts";
import type { CloudEntry, CloudListed } from "./cloudSchemas.ts";
import { withFlatNames } from "./flatNames.ts";

/** Pure. An ended job as `GET /api/history_v2/{id}` has it: objects where ComfyUI has tuples, and each file by one name. */
export function showCloudEntry({ prompt: tuple, outputs, status, meta }: ShownEntry): CloudEntry {
  const [priority, prompt_id, prompt, extra_data, outputs_to_execute] = tuple;
  return {
    prompt: { priority, prompt_id, prompt, extra_data, outputs_to_execute },
    outputs: withFlatNames(prompt_id, outputs) as CloudEntry["outputs"], // the same, but for names in it
    status,
    ...(meta && { meta }),
  };
}

/** Pure. The same in a list, where graphs would be too much: neither that of the prompt nor the editor's. */
export function showCloudListed(entry: ShownEntry): CloudListed {
  const { prompt, ...told } = showCloudEntry(entry);
  const { priority, prompt_id, extra_data } = prompt;
  const { extra_pnginfo: info, ...extra } = extra_data;
  const { workflow, ...otherInfo }: Record<string, unknown> = isObject(info) ? info : {};
  const id = isObject(workflow) ? workflow["id"] : undefined;
  return {
    prompt_id,
    create_time: Number(extra["create_time"]),
    ...(typeof id === "string" && { workflow_id: id }),
    prompt: { priority, prompt_id, extra_data: info === undefined ? extra : { ...extra, extra_pnginfo: otherInfo } },
    ...told,
  };
}
