import { mkdir, realpath } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import type { ModelPlace } from "@comfyq/contract";
import { JobError } from "../jobError.ts";
import { isSystemError } from "./isSystemError.ts";

/** Where a model lies: `path` below the models folder, links resolved, and the same as the system's path. */
export interface ModelPath {
  readonly path: string;
  readonly file: string;
}

/**
 * Makes the folders of a place, one by one, and sees that no link leads out of the models folder.
 * @param dir the models folder, links resolved
 * @throws JobError `model_rejected` when one does, or when a file stands where a folder should
 */
export async function resolveModelPath(dir: string, { folder, name }: ModelPlace): Promise<ModelPath> {
  const named = join(folder, name);
  let parent = dir;
  for (const segment of dirname(named).split(sep)) parent = await enter(dir, join(parent, segment), named);
  const file = join(parent, named.slice(dirname(named).length + 1));
  return { file, path: relative(dir, file).split(sep).join("/") };
}

async function enter(dir: string, folder: string, named: string): Promise<string> {
  await mkdir(folder, { mode: 0o755 }).catch((error: unknown) => {
    if (!isSystemError(error, "EEXIST")) throw error;
  });
  const real = await realpath(folder).catch(() => undefined); // a link to nowhere
  if (real?.startsWith(dir + sep)) return real;
  const shown = relative(dir, folder);
  throw new JobError(
    "model_rejected",
    `models/${named} cannot be written: models/${shown} leads out of the models folder; the operator must mount it there`,
  );
}
