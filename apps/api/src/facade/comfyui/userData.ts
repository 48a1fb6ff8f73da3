import { basename } from "node:path";
import { isObject } from "@comfyq/comfyui/wire";
import { nowMs } from "@comfyq/runtime";
import * as z from "zod";
import { parseJson } from "../../body/parseJson.ts";
import { readAnyBody } from "../../body/readBody.ts";
import { ApiError } from "../../errors.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { comfyRoute } from "./comfyRoute.ts";

const MOST_FILE_BYTES = 1_000_000;
/** Of one tenant; kept in Redis. */
const FILE_LIMITS = { notes: 1_000, bytes: 8_000_000 };
const SETTING_LIMITS = { notes: 2_000, bytes: 1_000_000 };

const KeptFile = z.object({ created: z.number(), modified: z.number(), base64: z.string() });
type KeptFile = z.infer<typeof KeptFile>;

/** What ComfyUI's editor keeps on its server: settings, and files such as saved workflows. A tenant is one user. */
export function userDataRoutes(rooms: Rooms): readonly Route[] {
  return [...settingRoutes(rooms), ...fileRoutes(rooms)];
}

function settingRoutes(rooms: Rooms): readonly Route[] {
  const all = async ({ caller }: Call) => {
    const kept = await rooms.producer.notes.all(caller.tenant, "settings");
    return Object.fromEntries(Object.entries(kept).map(([id, text]) => [id, JSON.parse(text) as unknown]));
  };
  const keep = ({ caller }: Call, id: string, value: unknown) =>
    rooms.producer.notes.put(caller.tenant, "settings", {
      name: id,
      text: JSON.stringify(value),
      limits: SETTING_LIMITS,
    });
  const body = async ({ req }: Call) => parseJson(await readAnyBody(req, MOST_FILE_BYTES), "{}");
  const shared = { path: "/settings" } as const;
  const one = { path: "/settings/{setting}" } as const;
  return [
    ...comfyRoute({
      ...shared,
      method: "get",
      scope: "read",
      summary: "Your settings",
      run: async (call) => void call.res.json(await all(call)),
    }),
    ...comfyRoute({
      ...shared,
      method: "post",
      scope: "submit",
      summary: "Change several of your settings",
      run: async (call) => {
        const fields = await body(call);
        if (!isObject(fields)) throw new ApiError("invalid_request", "The body must be a JSON object of settings");
        for (const [id, value] of Object.entries(fields)) await keep(call, id, value);
        call.res.status(200).end();
      },
    }),
    ...comfyRoute({
      ...one,
      method: "get",
      scope: "read",
      summary: "One of your settings; null when it is not set",
      run: async (call) => {
        const text = await rooms.producer.notes.get(call.caller.tenant, "settings", call.params["setting"] ?? "");
        call.res.json(text === undefined ? null : JSON.parse(text));
      },
    }),
    ...comfyRoute({
      ...one,
      method: "post",
      scope: "submit",
      summary: "Change one of your settings",
      run: async (call) => {
        await keep(call, call.params["setting"] ?? "", await body(call));
        call.res.status(200).end();
      },
    }),
  ];
}

function fileRoutes(rooms: Rooms): readonly Route[] {
  const { get, put, remove } = filesOf(rooms);
  const one = { path: "/userdata/{file}" } as const;
  return [
    ...comfyRoute({
      path: "/userdata",
      method: "get",
      scope: "read",
      summary: "Your files in ?dir=",
      run: (call) => listFiles(rooms, call),
    }),
    ...comfyRoute({
      path: "/v2/userdata",
      method: "get",
      scope: "read",
      summary: "Your files and folders below ?path=",
      run: (call) => listEntries(rooms, call),
    }),
    ...comfyRoute({
      ...one,
      method: "get",
      scope: "read",
      summary: "Read one of your files",
      run: async (call) => {
        const file = await get(call, pathOf(call, "file"));
        if (!file) throw new ApiError("not_found", "You keep no such file here");
        call.res
          .set("Content-Disposition", "attachment")
          .type("application/octet-stream")
          .send(Buffer.from(file.base64, "base64"));
      },
    }),
    ...comfyRoute({
      ...one,
      method: "post",
      scope: "submit",
      summary: "Keep a file; ?overwrite=false refuses one that is there (409)",
      run: async (call) => {
        const path = pathOf(call, "file");
        const bytes = await readAnyBody(call.req, MOST_FILE_BYTES);
        const before = await get(call, path);
        if (before && call.req.query["overwrite"] === "false")
          throw new ApiError("conflict", "You keep a file of this name already; send overwrite=true to replace it");
        const at = nowMs();
        const file = { created: before?.created ?? at, modified: at, base64: bytes.toString("base64") };
        await put(call, path, file);
        call.res.json(call.req.query["full_info"] === "true" ? factsOf(path, file) : path);
      },
    }),
    ...comfyRoute({
      ...one,
      method: "delete",
      scope: "submit",
      summary: "Remove one of your files",
      run: async (call) => {
        if (!(await remove(call, pathOf(call, "file")))) throw new ApiError("not_found", "You keep no such file here");
        call.res.status(204).end();
      },
    }),
    ...comfyRoute({
      path: "/userdata/{file}/move/{destination}",
      method: "post",
      scope: "submit",
      summary: "Rename one of your files",
      run: async (call) => {
        const [from, to] = [pathOf(call, "file"), pathOf(call, "destination")];
        const file = await get(call, from);
        if (!file) throw new ApiError("not_found", "You keep no such file here");
        if (call.req.query["overwrite"] === "false" && (await get(call, to)))
          throw new ApiError("conflict", "You keep a file of the new name already; send overwrite=true to replace it");
        await put(call, to, file);
        if (from !== to) await remove(call, from);
        call.res.json(call.req.query["full_info"] === "true" ? factsOf(to, file) : to);
      },
    }),
  ];
}

function filesOf({ producer }: Rooms) {
  return {
    get: async ({ caller }: Call, path: string): Promise<KeptFile | undefined> => {
      const text = await producer.notes.get(caller.tenant, "userdata", path);
      return text === undefined ? undefined : KeptFile.parse(JSON.parse(text));
    },
    put: ({ caller }: Call, path: string, file: KeptFile) =>
      producer.notes.put(caller.tenant, "userdata", { name: path, text: JSON.stringify(file), limits: FILE_LIMITS }),
    remove: ({ caller }: Call, path: string) => producer.notes.remove(caller.tenant, "userdata", path),
  };
}

async function listFiles({ producer }: Rooms, { caller, req, res }: Call): Promise<void> {
  const dir = cleanPath(req.query["dir"] ?? "", "dir");
  const kept = await producer.notes.all(caller.tenant, "userdata");
  const prefix = dir === "" ? "" : `${dir}/`;
  const inside = Object.entries(kept).flatMap(([path, text]) =>
    path.startsWith(prefix) ? [{ path: path.slice(prefix.length), file: KeptFile.parse(JSON.parse(text)) }] : [],
  );
  if (inside.length === 0) throw new ApiError("not_found", "You keep no file in this folder");
  const wanted = inside
    .filter(({ path }) => req.query["recurse"] === "true" || !path.includes("/"))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  if (req.query["full_info"] === "true") return void res.json(wanted.map(({ path, file }) => factsOf(path, file)));
  const isSplit = req.query["split"] === "true";
  res.json(wanted.map(({ path }) => (isSplit ? [path, ...path.split("/")] : path)));
}

/** Folders first; of ComfyUI's own making are only those that have files (app/user_manager.py list_userdata_v2). */
async function listEntries({ producer }: Rooms, { caller, req, res }: Call): Promise<void> {
  const dir = cleanPath(req.query["path"] ?? "", "path");
  const kept = await producer.notes.all(caller.tenant, "userdata");
  const prefix = dir === "" ? "" : `${dir}/`;
  const inside = Object.entries(kept).filter(([path]) => path.startsWith(prefix));
  if (inside.length === 0 && dir !== "") throw new ApiError("not_found", "You keep no file in this folder");
  const files = inside.map(([path, text]) => {
    const { size, modified } = factsOf(path, KeptFile.parse(JSON.parse(text)));
    return { name: basename(path), path, type: "file", size, modified };
  });
  const folders = [...new Set(inside.flatMap(([path]) => foldersOf(path)))].filter((path) => path.startsWith(prefix));
  const byName = (a: { readonly name: string }, b: { readonly name: string }) => a.name.localeCompare(b.name, "en");
  const listed = folders.map((path) => ({ name: basename(path), path, type: "directory" })).sort(byName);
  res.json([...listed, ...files.sort(byName)]);
}

/** `a/b/c.json` is in `a` and in `a/b`. */
function foldersOf(path: string): readonly string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, at) => parts.slice(0, at + 1).join("/"));
}

function factsOf(path: string, { created, modified, base64 }: KeptFile) {
  return { path, size: Buffer.byteLength(base64, "base64"), modified: modified / 1_000, created: created / 1_000 };
}

function pathOf({ params }: Call, name: string): string {
  const path = cleanPath(params[name] ?? "", name);
  if (path === "") throw new ApiError("invalid_request", "The file's name is empty");
  return path;
}

/** Names are only names here; but who leads elsewhere is told so, as ComfyUI does. @throws ApiError `forbidden` */
function cleanPath(path: unknown, name: string): string {
  if (typeof path !== "string" || path.length > 512) throw new ApiError("invalid_request", `${name} must be one path`);
  const parts = path.split(/[\\/]/).filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/") || parts.includes("..") || /\p{Cc}/u.test(path))
    throw new ApiError("forbidden", `${name} leads out of your folder`);
  return parts.join("/");
}
