import { readdirSync } from "node:fs";
import { isObject } from "@comfyq/comfyui/wire";
import { FILE_TYPES } from "../../files/Folders.ts";
import { empty, json } from "../Reply.ts";
import type { Route } from "../Router.ts";

const SIZE = { cols: 80, rows: 24 };

/** `/internal`, which exists only without `/api` (api_server/routes/internal). */
export const INTERNAL_ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: "/internal/logs",
    isBareOnly: true,
    handle: (_, { life }) => json(life.log.entries.map(({ t, m }) => `${t} - ${m}`).join("")),
  },
  {
    method: "GET",
    path: "/internal/logs/raw",
    isBareOnly: true,
    handle: (_, { life }) => json({ entries: life.log.entries, size: SIZE }),
  },
  {
    method: "PATCH",
    path: "/internal/logs/subscribe",
    isBareOnly: true,
    handle: async (request, simulation) => {
      const body = await request.json();
      const fields = isObject(body) ? body : {};
      simulation.subscribeToLogs(String(fields["clientId"]), fields["enabled"] === true);
      return empty();
    },
  },
  {
    method: "GET",
    path: "/internal/folder_paths",
    isBareOnly: true,
    handle: (_, { parts: { folders } }) =>
      json(Object.fromEntries(folders.modelKinds().map((kind) => [kind, [`${folders.base}/models/${kind}`]]))),
  },
  {
    method: "GET",
    path: "/internal/files/:type",
    isBareOnly: true,
    handle: ({ params }, { parts }) => {
      const type = FILE_TYPES.find((known) => known === params["type"]);
      if (!type) return json({ error: "Invalid directory type" }, 400);
      const files = readdirSync(parts.folders.pathOf(type), { withFileTypes: true });
      // Newer versions say in each name where it lies, so that it can be put into a widget as it is.
      const suffix = parts.profile.hasJobs ? ` [${type}]` : "";
      return json(files.filter((file) => file.isFile()).map(({ name }) => `${name}${suffix}`));
    },
  },
  {
    method: "GET",
    path: "/api/assets",
    isBareOnly: true,
    handle: () =>
      json({ error: { code: "SERVICE_DISABLED", message: "Assets system is disabled.", details: {} } }, 503),
  },
];
