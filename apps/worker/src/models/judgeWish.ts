import { JobError } from "../jobError.ts";
import { type FileFacts, forgetModel, hasPast, isInUse, isSameFile, type ModelIndex } from "./modelIndex.ts";
import type { ModelWish } from "./modelWish.ts";
import { sourceName } from "./sourceName.ts";

/** What becomes of a wish. */
export type Verdict =
  | { readonly kind: "present"; readonly content: string; readonly hasPast: boolean }
  /** An operator's file, whose hash is asked for and not known. */
  | { readonly kind: "unknown"; readonly facts: FileFacts }
  /** Somebody is downloading it. */
  | { readonly kind: "wait"; readonly id: string }
  | { readonly kind: "download"; readonly replaces: "nothing" | "ours" };

/** What lies where the wish points, `path` below the models folder. */
interface There {
  readonly path: string;
  readonly facts: FileFacts | undefined;
}

/**
 * Whether what lies there is what the job wants. Forgets what is no longer true.
 * @throws JobError `model_rejected` when it is another, and stays
 */
export function judgeWish(index: ModelIndex, wish: ModelWish, { path, facts }: There): Verdict {
  const underWay = index.downloads[path];
  if (underWay) return { kind: "wait", id: underWay.id };
  // Gone, or changed: by the operator, whose file it is now.
  if (index.models[path] && !(facts && isSameFile(index.models[path], facts))) forgetModel(index, path);
  if (index.seen[path] && !(facts && isSameFile(index.seen[path], facts))) delete index.seen[path];
  if (!facts) return { kind: "download", replaces: "nothing" };
  const own = index.models[path];
  const sha256 = (own ?? index.seen[path])?.sha256;
  const present = (content: string): Verdict => ({ kind: "present", content, hasPast: hasPast(index, path, content) });
  const wanted = wish.source.sha256;
  if (wanted === undefined) {
    if (own && own.source !== sourceName(wish.source.url)) throw taken(wish, "it came from another source");
    return present(sha256 ?? `${facts.size_bytes} bytes of ${facts.mtime_ms}`);
  }
  if (sha256 === undefined) return { kind: "unknown", facts };
  if (sha256 === wanted) return present(sha256);
  if (own && !isInUse(index, path)) return { kind: "download", replaces: "ours" };
  throw taken(wish, `its sha256 is ${sha256}`);
}

function taken({ label }: ModelWish, why: string): JobError {
  return new JobError(
    "model_rejected",
    `Model ${label} was not installed: another file of that name is there, ${why}; send it under another name`,
  );
}
