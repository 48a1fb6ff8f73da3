import { cloudRoutes } from "../facade/cloud/cloudRoutes.ts";
import { comfyUiRoutes } from "../facade/comfyui/comfyUiRoutes.ts";
import { icuRoutes } from "../facade/icu/icuRoutes.ts";
import { v2Routes } from "../facade/v2/v2Routes.ts";
import type { Rooms } from "../rooms.ts";
import type { Route } from "../route.ts";
import { createStreamSeats } from "../sse/streamSeats.ts";
import { assetRoutes } from "./assets.ts";
import { assetUploadRoutes } from "./assetUploads.ts";
import { batchRoutes } from "./batches.ts";
import { cancelJobRoute } from "./cancelJob.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { doctorRoute } from "./doctor.ts";
import { fleetRoutes } from "./fleet.ts";
import { limitsRoute } from "./limits.ts";
import { listJobsRoute } from "./listJobs.ts";
import { probeRoutes } from "./probes.ts";
import { retryJobRoute } from "./retryJob.ts";
import { retryJobsRoute } from "./retryJobs.ts";
import { runScheduleRoute } from "./runSchedule.ts";
import { scheduleRoutes } from "./schedules.ts";
import { serveLinkRoute } from "./serveLink.ts";
import { showJobRoutes } from "./showJob.ts";
import { showOutputRoute } from "./showOutput.ts";
import { streamEventsRoute } from "./streamEvents.ts";
import { submitJobRoute } from "./submitJob.ts";
import { webhookSecretRoutes } from "./webhookSecrets.ts";
import { webhookRoutes } from "./webhooks.ts";

/** Every documented call, in the order of the reference page. */
export function allRoutes(rooms: Rooms): readonly Route[] {
  const seats = createStreamSeats(() => rooms.settings.COMFYQ_MAX_STREAMS);
  return [
    submitJobRoute(rooms),
    listJobsRoute(rooms),
    ...showJobRoutes(rooms),
    streamEventsRoute(rooms, seats),
    cancelJobRoute(rooms),
    retryJobRoute(rooms),
    retryJobsRoute(rooms),
    showOutputRoute(rooms),
    ...batchRoutes(rooms),
    ...assetRoutes(rooms),
    ...assetUploadRoutes(rooms),
    ...scheduleRoutes(rooms),
    runScheduleRoute(rooms),
    ...fleetRoutes(rooms),
    limitsRoute(rooms),
    ...webhookSecretRoutes(rooms), // before those that take any id
    ...webhookRoutes(rooms),
    ...deliveryRoutes(rooms),
    doctorRoute(rooms),
    serveLinkRoute(rooms),
    ...comfyUiRoutes(rooms),
    ...cloudRoutes(rooms),
    ...probeRoutes(rooms),
    ...v2Routes(rooms, seats),
    ...icuRoutes(rooms),
  ];
}
