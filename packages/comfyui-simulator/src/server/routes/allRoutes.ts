import type { Route } from "../Router.ts";
import { CONTROL_ROUTES } from "./controlRoutes.ts";
import { INTERNAL_ROUTES } from "./internalRoutes.ts";
import { INTROSPECTION_ROUTES } from "./introspectionRoutes.ts";
import { JOB_ROUTES } from "./jobRoutes.ts";
import { PROMPT_ROUTES } from "./promptRoutes.ts";
import { QUEUE_ROUTES } from "./queueRoutes.ts";
import { UPLOAD_ROUTES } from "./uploadRoutes.ts";
import { USER_ROUTES } from "./userRoutes.ts";
import { VIEW_ROUTES } from "./viewRoutes.ts";

/** Every route of the server. */
export const ROUTES: readonly Route[] = [
  ...PROMPT_ROUTES,
  ...QUEUE_ROUTES,
  ...JOB_ROUTES,
  ...VIEW_ROUTES,
  ...UPLOAD_ROUTES,
  ...INTROSPECTION_ROUTES,
  ...USER_ROUTES,
  ...INTERNAL_ROUTES,
  ...CONTROL_ROUTES,
];
