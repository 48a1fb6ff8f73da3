import { ApiError } from "../../errors.ts";
import type { Rooms } from "../../rooms.ts";
import type { Route } from "../../route.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { UploadFolder } from "./uploadShelf.ts";

/** What an editor asks every ComfyUI, and of which there is nothing here: nothing of the instances' own pages is passed on. */
const EMPTY: readonly (readonly [path: string, answer: unknown, summary: string])[] = [
  ["/users", { storage: "server", migrated: true }, "Where an editor's data are kept"],
  ["/extensions", [], "Scripts for the editor: none"],
  ["/i18n", {}, "Translations of custom nodes: none"],
  ["/workflow_templates", {}, "Workflows that custom nodes bring: none"],
  ["/global_subgraphs", {}, "Subgraphs that custom nodes bring: none"],
  ["/node_replacements", {}, "Nodes that stand for others: none; an instance replaces them itself"],
];

/** Of ComfyUI's terminal. */
const NO_LOGS = { entries: [], size: { cols: 80, rows: 24 } };

export function editorListRoutes({ producer }: Pick<Rooms, "producer">): readonly Route[] {
  const get = { method: "get", scope: "read" } as const;
  return [
    ...EMPTY.flatMap(([path, answer, summary]) =>
      comfyRoute({ ...get, path, summary, run: ({ res }) => void res.json(answer) }),
    ),
    ...comfyRoute({
      ...get,
      path: "/global_subgraphs/{subgraph}",
      summary: "One such subgraph: there is none",
      run: () => {
        throw new ApiError("not_found", "There are no subgraphs of custom nodes here");
      },
    }),
    ...comfyRoute({
      ...get,
      isRootOnly: true,
      path: "/internal/logs",
      summary: "A server's log: empty, it is the operator's",
      run: ({ res }) => void res.json(""),
    }),
    ...comfyRoute({
      ...get,
      isRootOnly: true,
      path: "/internal/logs/raw",
      summary: "The same, by line",
      run: ({ res }) => void res.json(NO_LOGS),
    }),
    ...comfyRoute({
      ...get,
      isRootOnly: true,
      path: "/internal/folder_paths",
      summary: "Where models lie: not told",
      run: ({ res }) => void res.json({}),
    }),
    ...comfyRoute({
      ...get,
      isRootOnly: true,
      path: "/internal/files/{folder}",
      summary: "Names of the files that you have uploaded to input, temp or output",
      run: async ({ caller, params, res }) => {
        const folder = UploadFolder.safeParse(params["folder"]);
        if (!folder.success) throw new ApiError("not_found", "Folders are input, temp and output");
        const names = Object.keys(await producer.notes.all(caller.tenant, `uploads-${folder.data}`));
        res.json(names.filter((name) => !name.includes("/")).map((name) => `${name} [${folder.data}]`));
      },
    }),
  ];
}
