import type { Scope } from "@comfyq/contract";
import * as z from "zod";
import type { Call, Route } from "../../route.ts";
import { json } from "../../route.ts";
import { EXTRA_HEADERS } from "../extraHeaders.ts";
import { COMFYUI_DOOR } from "./comfyUiDoor.ts";

interface ComfyRoute {
  readonly method: Route["method"];
  /** As at the root. */
  readonly path: string;
  readonly scope: Scope;
  readonly summary: string;
  readonly run: (call: Call) => Promise<void> | void;
  /** ComfyUI declares it under `/api`: there is none at the root. */
  readonly isApiOnly?: boolean;
  /** It has no second path under `/api`. */
  readonly isRootOnly?: boolean;
  /** Our own headers, `Comfyq-Pool` and so on, mean something here. */
  readonly takesHeaders?: boolean;
}

/** One call of ComfyUI's API, at the root and under `/api` (server.py add_routes). */
export function comfyRoute(wish: ComfyRoute): readonly Route[] {
  const { isApiOnly = false, isRootOnly = false, takesHeaders = false, ...spec } = wish;
  const names = [...spec.path.matchAll(/\{(\w+)(?:\.\.\.)?\}/g)].map(([, name = ""]) => [name, z.string()] as const);
  const shared = {
    ...spec,
    ...(names.length > 0 && { params: z.object(Object.fromEntries(names)) }),
    ...(takesHeaders && { headers: EXTRA_HEADERS }),
    tag: "ComfyUI",
    door: COMFYUI_DOOR,
    answers: { 200: json("As ComfyUI answers", z.unknown()) },
    errors: ["not_found"] as const,
  };
  const paths = isApiOnly || isRootOnly ? [spec.path] : [spec.path, `/api${spec.path}`];
  return paths.map((path) => ({ ...shared, path, run: (call: Call) => spec.run(call) }));
}
