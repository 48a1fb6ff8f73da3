import type { Rooms } from "../../rooms.ts";
import type { Route } from "../../route.ts";
import type { StreamSeats } from "../../sse/streamSeats.ts";
import { keepV2AssetRoutes } from "./keepV2Assets.ts";
import { streamV2EventsRoute } from "./streamV2Events.ts";
import { submitV2JobRoute } from "./submitV2Job.ts";
import { v2AssetRoutes } from "./v2AssetRoutes.ts";
import { v2JobRoutes } from "./v2JobRoutes.ts";

/** Comfy API v2: its eleven operations, on the same jobs and assets as our own API. */
export function v2Routes(rooms: Rooms, seats: StreamSeats): readonly Route[] {
  return [
    submitV2JobRoute(rooms),
    ...v2JobRoutes(rooms),
    streamV2EventsRoute(rooms, seats),
    ...keepV2AssetRoutes(rooms),
    ...v2AssetRoutes(rooms),
  ];
}
