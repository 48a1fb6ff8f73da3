import { extname } from "node:path";
import type { SystemStats } from "@comfyq/comfyui/wire";
import type { WorkerBeat } from "@comfyq/contract";
import { ApiError } from "../../errors.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { featuresOf } from "./features.ts";
import { poolOf } from "./poolOf.ts";
import type { ComfyTools } from "./tools.ts";

const GET = { method: "get", scope: "read", takesHeaders: true } as const;

/** What the fleet has and can do, as one ComfyUI would tell. */
export function fleetFactRoutes(rooms: Rooms, tools: ComfyTools): readonly Route[] {
  return [...classRoutes(tools), ...modelRoutes(tools), ...machineRoutes(rooms)];
}

function classRoutes({ objectInfo }: ComfyTools): readonly Route[] {
  return [
    ...comfyRoute({
      ...GET,
      path: "/object_info",
      summary: "Every node class of a pool's live instances, with the choices of all of them",
      run: async (call) => void call.res.type("json").send((await objectInfo(poolOf(call.req))).json),
    }),
    ...comfyRoute({
      ...GET,
      path: "/object_info/{node_class}",
      summary: "One node class; {} when no instance has it",
      run: async ({ req, res, params }) => {
        const name = params["node_class"] ?? "";
        const { classes } = await objectInfo(poolOf(req));
        res.json(Object.hasOwn(classes, name) ? { [name]: classes[name] } : {});
      },
    }),
  ];
}

function modelRoutes({ models }: ComfyTools): readonly Route[] {
  const listOf = async ({ req, params }: Call): Promise<readonly string[]> => {
    const lists = await models(poolOf(req));
    const folder = params["folder"] ?? "";
    if (Object.hasOwn(lists, folder)) return lists[folder] ?? [];
    throw new ApiError("not_found", "No instance has models of this kind; /models lists those there are");
  };
  return [
    ...comfyRoute({
      ...GET,
      path: "/models",
      summary: "Kinds of models that a pool's instances have",
      run: async ({ req, res }) => void res.json(Object.keys(await models(poolOf(req)))),
    }),
    ...comfyRoute({
      ...GET,
      path: "/models/{folder}",
      summary: "Names of the models of one kind, of all instances together",
      run: async (call) => void call.res.json(await listOf(call)),
    }),
    ...comfyRoute({
      ...GET,
      path: "/embeddings",
      summary: "Names of the embeddings, without their extensions",
      run: async ({ req, res }) => {
        const names = (await models(poolOf(req)))["embeddings"] ?? [];
        res.json(names.map((name) => name.slice(0, name.length - extname(name).length)));
      },
    }),
    ...comfyRoute({
      ...GET,
      path: "/experiment/models",
      summary: "Kinds of models, for editors; where they lie is not told",
      run: async ({ req, res }) =>
        void res.json(Object.keys(await models(poolOf(req))).map((name) => ({ name, folders: [] }))),
    }),
    ...comfyRoute({
      ...GET,
      path: "/experiment/models/{folder}",
      summary: "The models of one kind, for editors",
      run: async (call) => void call.res.json((await listOf(call)).map((name) => ({ name, pathIndex: 0 }))),
    }),
    ...comfyRoute({
      ...GET,
      path: "/experiment/models/preview/{folder}/{path_index}/{filename...}",
      summary: "A picture of a model: none",
      run: () => {
        throw new ApiError("not_found", "Pictures of models stay with the instances");
      },
    }),
    ...comfyRoute({
      ...GET,
      path: "/view_metadata/{folder}",
      summary: "What a model file says of itself: nothing",
      run: () => {
        throw new ApiError(
          "not_found",
          "What stands in a model file stays with the instances; only its name is known here",
        );
      },
    }),
  ];
}

function machineRoutes(rooms: Rooms): readonly Route[] {
  return [
    ...comfyRoute({
      ...GET,
      path: "/system_stats",
      summary: "The fleet's versions and devices",
      run: async ({ res }) => void res.json(statsOf(await rooms.producer.workers())),
    }),
    ...comfyRoute({
      ...GET,
      path: "/features",
      summary: "What this server can do",
      run: ({ res }) => void res.json(featuresOf(rooms)),
    }),
    ...comfyRoute({
      method: "post",
      path: "/free",
      scope: "submit",
      summary: "Taken, and nothing is done: instances are shared, and their workers see to their memory",
      run: ({ req, res }) => {
        req.resume();
        res.status(200).type("application/octet-stream").end();
      },
    }),
  ];
}

/** Memory is not told: it is that of many machines, and changes as they work. */
function statsOf(workers: readonly WorkerBeat[]): SystemStats {
  const versions = workers.flatMap(({ comfyui_version }) => comfyui_version ?? []).sort();
  const oldest = versions.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }))[0];
  return {
    system: { os: process.platform, ...(oldest === undefined ? {} : { comfyui_version: oldest }), argv: [] },
    devices: workers.map(({ device }, index) => ({
      name: device ?? "unknown",
      type: /^(\w+)(?::\d+)?/.exec(device ?? "")?.[1] ?? "unknown",
      index,
    })),
  };
}
