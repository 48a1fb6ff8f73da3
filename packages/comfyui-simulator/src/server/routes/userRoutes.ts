import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isObject } from "@comfyq/comfyui/wire";
import { isInside } from "../../files/Folders.ts";
import type { Simulation } from "../../Simulation.ts";
import { bytes, empty, json } from "../Reply.ts";
import type { Route } from "../Router.ts";

/** What frontends keep on the server, for one user (app/user_manager.py, app_settings.py). */
export const USER_ROUTES: readonly Route[] = [
  { method: "GET", path: "/users", handle: () => json({ storage: "server", migrated: true }) },
  { method: "GET", path: "/settings", handle: (_, simulation) => json(readSettings(simulation)) },
  {
    method: "GET",
    path: "/settings/:id",
    handle: ({ params }, simulation) => json(readSettings(simulation)[params["id"] ?? ""] ?? null),
  },
  {
    method: "POST",
    path: "/settings",
    handle: async (request, simulation) => {
      const body = await request.json();
      writeSettings(simulation, { ...readSettings(simulation), ...(isObject(body) ? body : {}) });
      return empty();
    },
  },
  {
    method: "POST",
    path: "/settings/:id",
    handle: async (request, simulation) => {
      const value = await request.json();
      writeSettings(simulation, { ...readSettings(simulation), [request.params["id"] ?? ""]: value });
      return empty();
    },
  },
  {
    method: "GET",
    path: "/userdata",
    handle: ({ query }, simulation) => {
      const folder = userPath(simulation, query.get("dir") ?? "");
      if (folder === undefined) return empty(403);
      if (!existsSync(folder)) return empty(404);
      const recursive = query.get("recurse") === "true";
      const entries = readdirSync(folder, { recursive, withFileTypes: true }).filter((entry) => entry.isFile());
      const names = entries.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort();
      if (query.get("full_info") !== "true") return json(names);
      return json(names.map((path) => ({ path, ...factsOf(join(folder, path)) })));
    },
  },
  {
    method: "GET",
    path: "/userdata/:file",
    handle: ({ params }, simulation) => {
      const path = userPath(simulation, params["file"] ?? "");
      if (path === undefined) return empty(403);
      if (!existsSync(path)) return empty(404);
      return bytes(readFileSync(path), { "Content-Type": "application/octet-stream" });
    },
  },
  {
    method: "POST",
    path: "/userdata/:file",
    handle: async (request, simulation) => {
      const name = request.params["file"] ?? "";
      const path = userPath(simulation, name);
      if (path === undefined) return empty(403);
      if (request.query.get("overwrite") === "false" && existsSync(path)) return empty(409);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, await request.body());
      return json(request.query.get("full_info") === "true" ? { path: name, ...factsOf(path) } : name);
    },
  },
  {
    method: "DELETE",
    path: "/userdata/:file",
    handle: ({ params }, simulation) => {
      const path = userPath(simulation, params["file"] ?? "");
      if (path === undefined) return empty(403);
      if (!existsSync(path)) return empty(404);
      rmSync(path);
      return empty(204);
    },
  },
];

const userRoot = ({ parts }: Simulation): string => join(parts.folders.base, "user", "default");

function userPath(simulation: Simulation, name: string): string | undefined {
  const root = userRoot(simulation);
  const path = join(root, name);
  return isInside(root, path) ? path : undefined;
}

function factsOf(path: string): object {
  const { size, mtimeMs, birthtimeMs } = statSync(path);
  return { size, modified: mtimeMs / 1000, created: birthtimeMs / 1000 };
}

const settingsPath = (simulation: Simulation): string => join(userRoot(simulation), "comfy.settings.json");

function readSettings(simulation: Simulation): Record<string, unknown> {
  const path = settingsPath(simulation);
  const settings: unknown = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
  return isObject(settings) ? settings : {};
}

function writeSettings(simulation: Simulation, settings: Record<string, unknown>): void {
  mkdirSync(userRoot(simulation), { recursive: true });
  writeFileSync(settingsPath(simulation), JSON.stringify(settings, undefined, 4));
}
