import { createTurnstile } from "@comfyq/media";
import type { Rooms } from "../../rooms.ts";
import type { Route } from "../../route.ts";
import { editorListRoutes } from "./editorLists.ts";
import { fleetFactRoutes } from "./fleetFacts.ts";
import { createFleetModels } from "./fleetModels.ts";
import { createFleetObjectInfo } from "./fleetObjectInfo.ts";
import { historyRoutes } from "./history.ts";
import { interruptRoutes } from "./interrupt.ts";
import { jobRoutes } from "./jobs.ts";
import { promptRoutes } from "./prompt.ts";
import { queueRoutes } from "./queue.ts";
import type { ComfyTools } from "./tools.ts";
import { createUploadShelf } from "./uploadShelf.ts";
import { uploadRoutes } from "./uploads.ts";
import { userDataRoutes } from "./userData.ts";
import { viewRoutes } from "./view.ts";

/** ComfyUI's own API, at the root and under `/api`: the fleet looks like one ComfyUI. */
export function comfyUiRoutes(rooms: Rooms): readonly Route[] {
  const tools: ComfyTools = {
    objectInfo: createFleetObjectInfo(rooms),
    models: createFleetModels(rooms),
    uploads: createUploadShelf(rooms),
    pictures: createTurnstile(),
  };
  return [
    ...promptRoutes(rooms, tools),
    ...queueRoutes(rooms),
    ...interruptRoutes(rooms),
    ...historyRoutes(rooms),
    ...jobRoutes(rooms),
    ...viewRoutes(rooms, tools),
    ...uploadRoutes(rooms, tools),
    ...fleetFactRoutes(rooms, tools),
    ...userDataRoutes(rooms),
    ...editorListRoutes(rooms),
  ];
}
