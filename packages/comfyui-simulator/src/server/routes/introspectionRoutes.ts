import { readFileSync, statSync } from "node:fs";
import { extname } from "node:path";
import { MODEL_EXTENSIONS } from "../../files/bundledModels.ts";
import { objectInfo } from "../../nodes/objectInfo.ts";
import { featuresOf } from "../features.ts";
import { bytes, empty, json } from "../Reply.ts";
import type { Route } from "../Router.ts";
import { systemStats } from "../systemStats.ts";

const PAGE =
  "<!doctype html><meta charset=utf-8><title>ComfyUI simulator</title><p>A simulated ComfyUI without a frontend.</p>";

/** What a server can do and has (server.py, app/model_manager.py; reference/comfyui-protocol.md §1.6). */
export const INTROSPECTION_ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: "/",
    handle: () => bytes(Buffer.from(PAGE), { "Content-Type": "text/html; charset=utf-8" }),
  },
  {
    method: "GET",
    path: "/object_info",
    handle: (_, { parts: { nodes, folders } }) =>
      json(Object.fromEntries(nodes.all().map((nodeClass) => [nodeClass.name, objectInfo(nodeClass, folders)]))),
  },
  {
    method: "GET",
    path: "/object_info/:name",
    handle: ({ params }, { parts: { nodes, folders } }) => {
      const nodeClass = nodes.get(params["name"] ?? "");
      return json(nodeClass ? { [nodeClass.name]: objectInfo(nodeClass, folders) } : {});
    },
  },
  { method: "GET", path: "/models", handle: (_, { parts }) => json(parts.folders.modelKinds()) },
  {
    method: "GET",
    path: "/models/:kind",
    handle: ({ params }, { parts }) => {
      const names = parts.folders.modelNames(params["kind"] ?? "");
      return names ? json(names) : empty(404);
    },
  },
  {
    method: "GET",
    path: "/experiment/models",
    handle: (_, { parts: { folders } }) =>
      json(folders.modelKinds().map((name) => ({ name, folders: [name], extensions: MODEL_EXTENSIONS }))),
  },
  {
    method: "GET",
    path: "/experiment/models/:kind",
    handle: ({ params }, { parts: { folders } }) => {
      const kind = params["kind"] ?? "";
      const names = folders.modelNames(kind);
      if (!names) return empty(404);
      return json(names.map((name) => ({ name, pathIndex: 0, ...timesOf(folders.modelPath(kind, name)) })));
    },
  },
  {
    method: "GET",
    path: "/embeddings",
    handle: (_, { parts: { folders } }) =>
      json((folders.modelNames("embeddings") ?? []).map((name) => name.slice(0, -extname(name).length))),
  },
  {
    method: "GET",
    path: "/view_metadata/:kind",
    handle: ({ params, query }, { parts: { folders } }) => {
      const path = folders.modelPath(params["kind"] ?? "", query.get("filename") ?? "");
      const metadata = path === undefined ? undefined : safetensorsMetadata(readFileSync(path));
      return metadata === undefined ? empty(404) : json(metadata);
    },
  },
  {
    method: "GET",
    path: "/system_stats",
    handle: (_, { parts, options }) => json(systemStats(parts.profile, options.argv)),
  },
  {
    method: "GET",
    path: "/features",
    handle: (_, { parts, options }) => json(featuresOf(parts.profile, options.maxUploadBytes)),
  },
  { method: "GET", path: "/extensions", handle: () => json([]) },
  { method: "GET", path: "/workflow_templates", handle: () => json({}) },
  { method: "GET", path: "/global_subgraphs", handle: () => json({}) },
  { method: "GET", path: "/node_replacements", handle: () => json({}) },
  { method: "GET", path: "/i18n", handle: () => json({}) },
];

function timesOf(path: string | undefined): object {
  if (path === undefined) return { modified: 0, created: 0, size: 0 };
  const { mtimeMs, birthtimeMs, size } = statSync(path);
  return { modified: mtimeMs / 1000, created: birthtimeMs / 1000, size };
}

const LARGEST_HEADER = 1024 * 1024;

function safetensorsMetadata(file: Buffer): unknown {
  if (file.length < 8) return undefined;
  const length = Number(file.readBigUInt64LE(0));
  if (length > LARGEST_HEADER || length > file.length - 8) return undefined;
  try {
    const header: unknown = JSON.parse(file.toString("utf8", 8, 8 + length));
    return typeof header === "object" && header !== null && "__metadata__" in header ? header.__metadata__ : undefined;
  } catch {
    return undefined;
  }
}
