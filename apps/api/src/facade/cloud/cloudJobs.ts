import { isObject, type JobView } from "@comfyq/comfyui/wire";
import { contentTypeOf } from "@comfyq/storage";
import { withFlatNames } from "./flatNames.ts";

/** What Comfy Cloud calls what jobs are sorted by. */
const SORTS: Readonly<Record<string, string>> = { create_time: "created_at", execution_time: "execution_duration" };

/** Pure. The query of `GET /api/jobs` in ComfyUI's own words; those that are the same in both stay. */
export function inComfyWords(query: URLSearchParams): URLSearchParams {
  const words = new URLSearchParams(query);
  const sortBy = SORTS[query.get("sort_by") ?? ""];
  if (sortBy !== undefined) words.set("sort_by", sortBy);
  return words;
}

/** Pure. Is the file that stands for the job of this kind: `image`, `video` or `audio`? */
export function showsKind({ preview_output: preview }: JobView, outputType: string): boolean {
  const filename = isObject(preview) ? preview["filename"] : undefined;
  return typeof filename === "string" && contentTypeOf(filename).startsWith(`${outputType}/`);
}

/** Pure. One job as Comfy Cloud shows it: each of its files by one name, and when it last changed. */
export function inCloudWords(job: JobView): JobView {
  const update_time = job["execution_end_time"] ?? job["execution_start_time"] ?? job["create_time"];
  return { ...(withFlatNames(String(job["id"]), job) as JobView), update_time }; // the same, but for names in it
}
