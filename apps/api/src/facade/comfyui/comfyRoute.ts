import type { Scope } from "@comfyq/contract";
import * as z from "zod";
import type { Call, Route } from "../../route.ts";
import { json } from "../../route.ts";
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
}

/** One call of ComfyUI's API, at the root and under `/api` (server.py add_routes). */
export function comfyRoute({ isApiOnly = false, ...spec }: ComfyRoute): readonly Route[] {
  const names = [...spec.path.matchAll(/\{(\w+)(?:\.\.\.)?\}/g)].map(([, name = ""]) => [name, z.string()] as const);
  const shared = {
    ...spec,
    ...(names.length > 0 && { params: z.object(Object.fromEntries(names)) }),
    tag: "ComfyUI",
    door: COMFYUI_DOOR,
    answers: { 200: json("As ComfyUI answers", z.unknown()) },
    errors: ["not_found"] as const,
  };
  const paths = isApiOnly ? [spec.path] : [spec.path, `/api${spec.path}`];
  return paths.map((path) => ({ ...shared, path, run: (call: Call) => spec.run(call) }));
}
