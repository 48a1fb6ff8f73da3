import type { Asked } from "./readHistory.ts";
import { ObjectInfo, PATHS } from "./wire/index.ts";

/** Megabytes, built while the server's loop stands still: it may take so many times as long as another answer. */
const PATIENCE = 4;

type ObjectInfoAsked = Pick<Asked, "http" | "signal"> & { readonly requestTimeoutMs: number };

/** All classes, or one; `{}` when that one is unknown. */
export async function readObjectInfo(classType: string | undefined, asked: ObjectInfoAsked): Promise<ObjectInfo> {
  const { http, signal, requestTimeoutMs } = asked;
  const path = classType === undefined ? PATHS.objectInfo : `${PATHS.objectInfo}/${encodeURIComponent(classType)}`;
  return http.read(ObjectInfo, { method: "GET", path, signal, timeoutMs: requestTimeoutMs * PATIENCE });
}
