import { DEFAULT_TENANT } from "@comfyq/contract";
import type { Express, Request, RequestHandler, Response } from "express";
import { type Authenticator, type Caller, demandScope } from "./auth/authenticate.ts";
import { zodFaults } from "./body/zodFaults.ts";
import { ApiError } from "./errors.ts";
import type { Rooms } from "./rooms.ts";
import type { Call, Route } from "./route.ts";

/** Where an open route stands: it sees no tenant's things, so the name is never used. */
const NOBODY: Caller = { tenant: DEFAULT_TENANT, scopes: [] };

/** Hangs every route into the app: key, scope, query, then the route itself. Other methods on its path get 405. */
export function mountRoutes(app: Express, routes: readonly Route[], rooms: Rooms, door: Authenticator): void {
  for (const route of routes) {
    app[route.method](expressPath(route.path), async (req, res) => {
      res.locals["route"] = route.path;
      const caller = route.scope === "open" ? NOBODY : await door.authenticate(req);
      if (route.scope !== "open") demandScope(caller, route.scope);
      let signal: AbortSignal | undefined; // made for those who wait: most calls are answered sooner than it is
      const call: Call = {
        req,
        res,
        caller,
        params: paramsOf(req),
        query: readQuery(route, req),
        baseUrl: baseUrlOf(rooms, req),
        get signal() {
          signal ??= goneSignal(res, rooms.closing);
          return signal;
        },
      };
      await route.run(call as Call<never>); // the query was read by the route's own schema just above
    });
  }
  app.use(refuseOtherMethods(routes));
}

/** Tells whoever uses the wrong method on a path of ours which ones there are. */
function refuseOtherMethods(routes: readonly Route[]): RequestHandler {
  const known = routes.map(({ path, method }) => ({ pattern: patternOf(path), method: method.toUpperCase() }));
  return (req, _res, next) => {
    const methods = known.filter(({ pattern }) => pattern.test(req.path)).map(({ method }) => method);
    if (methods.length === 0) return next();
    const allowed = [...new Set([...methods, ...(methods.includes("GET") ? ["HEAD"] : [])])].join(", ");
    throw new ApiError("method_not_allowed", `${req.method} is not taken here, only ${allowed}; see /docs`, {
      headers: { Allow: allowed },
    });
  };
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/\{\w+\.\.\.\}/g, ".+").replace(/\{\w+\}/g, "[^/]+")}$`);
}

/** `/v1/jobs/{id}` → `/v1/jobs/:id`, `/files/{key...}` → `/files/*key`. */
function expressPath(path: string): string {
  return path.replace(/\{(\w+)\.\.\.\}/g, "*$1").replace(/\{(\w+)\}/g, ":$1");
}

function paramsOf(req: Request): Record<string, string> {
  // Express gives the segments of a wildcard as a list.
  return Object.fromEntries(Object.entries(req.params).map(([name, value]) => [name, [value].flat().join("/")]));
}

/** @throws ApiError `invalid_request` naming every parameter that is wrong */
function readQuery(route: Route, req: Request): unknown {
  if (!route.query) return {};
  const parsed = route.query.safeParse(req.query);
  if (parsed.success) return parsed.data;
  const faults = zodFaults(parsed.error, Object.keys(route.query.shape));
  const details = faults.map(({ path, message }) => ({ path: `query.${path}`, message }));
  const first = details[0] ? `: ${details[0].path} ${details[0].message}` : "";
  throw new ApiError("invalid_request", `The query cannot be taken${first}`, { details });
}

/** The operator's word, or else what the client itself believes: links made from it go to nobody but this client. */
function baseUrlOf({ settings }: Rooms, req: Request): string {
  return settings.COMFYQ_PUBLIC_URL ?? `http://${req.get("host") ?? "127.0.0.1"}`;
}

function goneSignal(res: Response, closing: AbortSignal): AbortSignal {
  const gone = new AbortController();
  if (res.closed) gone.abort();
  else res.once("close", () => gone.abort());
  return AbortSignal.any([gone.signal, closing]);
}
