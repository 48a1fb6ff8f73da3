import type { ApiErrorCode, Scope } from "@comfyq/contract";
import type { Request, Response } from "express";
import type * as z from "zod";
import type { ZodOpenApiMediaTypeObject } from "zod-openapi";
import type { Caller } from "./auth/authenticate.ts";
import type { Door } from "./door.ts";

/** One request, on its way to its answer. */
export interface Call<Query = unknown> {
  readonly req: Request;
  readonly res: Response;
  readonly caller: Caller;
  /** Of the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  /** Address of this API as the caller knows it, without a slash at the end. */
  readonly baseUrl: string;
  /** Aborts when the client is gone, or the API stops. */
  readonly signal: AbortSignal;
}

/** One answer, for the reference page. */
export interface DocumentedAnswer {
  readonly description: string;
  /** By media type; left out when there is no body. */
  readonly content?: Readonly<Record<string, ZodOpenApiMediaTypeObject>>;
  readonly headers?: z.ZodObject;
}

/** One call of the API: what it takes, what it does, and how it is documented. There is no route without all three. */
export interface RouteSpec<Query extends z.ZodObject> {
  readonly method: "get" | "head" | "post" | "put" | "delete";
  /** As OpenAPI writes it: `/v1/jobs/{id}`; `{key...}` takes the rest of the path. */
  readonly path: string;
  /** What the caller's key must allow; `"open"`: nobody is asked for a key. */
  readonly scope: Scope | "open";
  readonly tag: string;
  /** Left out: our own. */
  readonly door?: Door;
  readonly summary: string;
  readonly description?: string;
  /** Path parameters, for the reference page: what a malformed id is told is the handler's to decide. */
  readonly params?: z.ZodObject;
  /** Unknown names and bad values are refused with `invalid_request`. */
  readonly query?: Query;
  /** Headers that mean something here, for the reference page. */
  readonly headers?: z.ZodObject;
  readonly body?: Readonly<Record<string, ZodOpenApiMediaTypeObject>>;
  readonly answers: Readonly<Record<number, DocumentedAnswer>>;
  /** Codes that can happen beyond those of every call. */
  readonly errors?: readonly ApiErrorCode[];
  readonly run: (call: Call<z.output<Query>>) => Promise<void> | void;
}

/** A route whose query is checked before it runs, whatever its type. */
export interface Route extends Omit<RouteSpec<z.ZodObject>, "run"> {
  readonly run: (call: Call<never>) => Promise<void> | void;
}

/** Writes a route down; the query's type is known inside `run` and forgotten outside. */
export function route<Query extends z.ZodObject>(spec: RouteSpec<Query>): Route {
  return spec;
}

/** The answer that most routes give: JSON of one schema. */
export function json(description: string, schema: z.ZodType): DocumentedAnswer {
  return { description, content: { "application/json": { schema } } };
}
