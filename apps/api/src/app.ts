import express, { type ErrorRequestHandler, type Express, type RequestHandler } from "express";
import { createAuthenticator } from "./auth/authenticate.ts";
import { localGuard } from "./auth/loopback.ts";
import { mountBoard } from "./board/mountBoard.ts";
import { editorPage } from "./editor/editorPage.ts";
import { ApiError, quoted, toApiError } from "./errors.ts";
import { DOORS } from "./facade/doors.ts";
import { mountRoutes } from "./mountRoutes.ts";
import { observeRefusals, observeRequests } from "./observe.ts";
import { observeFleet } from "./observeFleet.ts";
import { openApiDocument } from "./reference/openApi.ts";
import { referencePage } from "./reference/referencePage.ts";
import type { Rooms } from "./rooms.ts";
import { allRoutes } from "./routes/index.ts";
import { securityHeaders } from "./security.ts";

/** Puts the API together; everything it does stands in the rooms it names. */
export async function createApp(rooms: Rooms, door = createAuthenticator(rooms)): Promise<Express> {
  const app = express();
  app.disable("x-powered-by");
  app.set("etag", false); // answers are signed anew each time, so no two are equal
  app.set("query parser", "simple");
  const routes = allRoutes(rooms);
  observeFleet(rooms);
  app.use(observeRequests(rooms));
  app.use(securityHeaders());
  app.use(localGuard(() => !rooms.keys.isRequired(), rooms.settings.COMFYQ_PUBLIC_URL));
  mountRoutes(app, routes, rooms, door);
  app.use(referencePage(openApiDocument(routes)));
  const { COMFYQ_EDITOR_DIR: editorDir } = rooms.settings;
  if (editorDir === undefined) app.get("/", (_req, res) => res.redirect("docs"));
  else app.use(await editorPage(rooms, door, editorDir)); // behind all routes: what they answer is theirs
  app.use(await mountBoard(rooms));
  app.use(nothingHere);
  app.use(answerError(rooms));
  return app;
}

const nothingHere: RequestHandler = (req) => {
  throw new ApiError("not_found", `There is no ${req.method} ${quoted(req.path)}; see /docs for what there is`);
};

/** The last stop: whatever was thrown is answered in the one shape, or in that of the door it came through, and logged when it is our fault or a neighbour's. */
function answerError({ logger, metrics }: Rooms): ErrorRequestHandler {
  const noteRefusal = observeRefusals(metrics);
  return (thrown: unknown, req, res, next) => {
    const error = toApiError(thrown);
    const { requestId } = res.locals;
    noteRefusal(error);
    if (error.status >= 500 && !res.destroyed) logger.error({ err: error, requestId }, "request failed");
    // Too late for an answer of any shape: cut the connection, so that the client does not take half of one for a whole.
    if (res.headersSent) return void res.destroy();
    // Or a client that still sends would not read the answer, and the next request on its connection would never be read.
    req.resume();
    for (const name of ["Content-Length", "Content-Range", "Content-Disposition", "ETag"]) res.removeHeader(name);
    const door = DOORS.find(({ covers }) => covers(req.path));
    const { status, body } = door?.showError(error) ?? { status: error.status, body: error.toBody() };
    res.status(status).set(error.headers).json(body);
    void next; // four parameters make it an error handler
  };
}
