import type { Simulation } from "../Simulation.ts";
import type { ApiRequest } from "./ApiRequest.ts";
import { methodNotAllowed, notFound, type Reply } from "./Reply.ts";

/** Answers a request. Anything it throws becomes a 500, as any Python exception does. */
export type Handler = (request: ApiRequest, simulation: Simulation) => Reply | Promise<Reply>;

/** `:name` stands for one part of the path, `*name` for all that is left. */
export interface Route {
  readonly method: "GET" | "POST" | "DELETE" | "PATCH" | "PUT";
  readonly path: string;
  readonly handle: Handler;
  /** Does not exist a second time under `/api`. */
  readonly isBareOnly?: boolean;
}

/** What a request leads to: a route, or the refusal to give. */
export type Found =
  | { readonly kind: "route"; readonly route: Route }
  | { readonly kind: "refusal"; readonly reply: Reply };

/**
 * Finds the handler for a request. Every route exists as it is declared and under `/api`; the jobs routes are declared
 * with `/api` already, which is why they do not exist without (server.py add_routes).
 */
export class Router {
  readonly #routes: readonly { readonly route: Route; readonly pattern: RegExp }[];

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => ({ route, pattern: patternOf(route.path) }));
  }

  /** Fills in the request's `params` when it finds a route. */
  find(request: ApiRequest): Found {
    const all = [request.path, request.barePath].flatMap((path, at) =>
      this.#routes.flatMap(({ route, pattern }) => {
        const match = at === 1 && (route.isBareOnly || path === request.path) ? null : pattern.exec(path);
        return match ? [{ route, params: match.groups ?? {} }] : [];
      }),
    );
    const method = request.method === "HEAD" ? "GET" : request.method;
    const found = all.find(({ route }) => route.method === method);
    if (found) {
      request.params = Object.fromEntries(
        Object.entries(found.params).map(([name, value]) => [name, decodeURIComponent(value)]),
      );
      return { kind: "route", route: found.route };
    }
    const allowed = all.map(({ route }) => route.method);
    return { kind: "refusal", reply: allowed.length > 0 ? methodNotAllowed(allowed) : notFound() };
  }
}

function patternOf(path: string): RegExp {
  const parts = path.split("/").map((part) => {
    if (part.startsWith(":")) return `(?<${part.slice(1)}>[^/]+)`;
    return part.startsWith("*") ? `(?<${part.slice(1)}>.+)` : part;
  });
  return new RegExp(`^${parts.join("/")}$`);
}
