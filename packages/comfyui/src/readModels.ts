import * as z from "zod";
import { errorOfStatus, parseBody } from "./http.ts";
import type { Asked } from "./readHistory.ts";
import { PATHS } from "./wire/index.ts";

const Names = z.array(z.string());

/** Kinds of models that it keeps; undefined on servers that do not tell. */
export async function readModelFolders({
  http,
  signal,
}: Pick<Asked, "http" | "signal">): Promise<readonly string[] | undefined> {
  const answer = await http.send({ method: "GET", path: PATHS.models, signal });
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw errorOfStatus(answer, `GET ${PATHS.models}`);
  return parseBody(Names, answer.text, `GET ${PATHS.models}`);
}

/** Asked anew each time: ComfyUI lists a folder again when its time, or that of one below it, has changed (§4). */
export async function readModels(
  folder: string,
  { http, signal }: Pick<Asked, "http" | "signal">,
): Promise<readonly string[] | undefined> {
  const path = `${PATHS.models}/${encodeURIComponent(folder)}`;
  const answer = await http.send({ method: "GET", path, signal });
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw errorOfStatus(answer, `GET ${path}`);
  return parseBody(Names, answer.text, `GET ${path}`).map((name) => name.replaceAll("\\", "/"));
}
