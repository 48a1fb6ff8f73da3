import { readFileSync } from "node:fs";
import { API_ERRORS, ApiErrorBody, type ApiErrorCode, WebhookEvent } from "@comfyq/contract";
import * as z from "zod";
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponsesObject,
} from "zod-openapi";
import type { Door } from "../door.ts";
import type { Route } from "../route.ts";

export type OpenApiDocument = ReturnType<typeof createDocument>;

const INTRODUCTION = `A durable job queue for ComfyUI fleets. Submit a workflow in ComfyUI's API format, watch it, fetch its
outputs. Once the operator has made API keys, send one as \`Authorization: Bearer <key>\` or \`X-API-Key: <key>\`. Every error has
one shape: \`{"error": {"code", "message", "details"}}\`.`;

/** Errors that every call with a key can have. */
const KEY_ERRORS: readonly ApiErrorCode[] = ["unauthorized", "forbidden", "too_many_requests"];
const ALWAYS: readonly ApiErrorCode[] = ["unavailable", "internal"];
/** How our own API says no. */
const OURS: Door["documented"] = { refusal: (code) => ({ status: API_ERRORS[code], code }), body: ApiErrorBody };

/** Writes the OpenAPI 3.1 document of these routes, from the schemas that check the requests. */
export function openApiDocument(routes: readonly Route[]): OpenApiDocument {
  const paths: ZodOpenApiPathsObject = {};
  for (const route of routes) {
    const path = documentPath(route.path);
    paths[path] = { ...paths[path], [route.method]: operationOf(route) };
  }
  return createDocument({
    openapi: "3.1.0",
    info: {
      title: "comfyq",
      version: apiVersion(),
      description: INTRODUCTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    security: [{ bearer: [] }, { apiKey: [] }, {}],
    paths,
    webhooks: { "job.event": { post: webhookOperation() } },
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
      },
    },
  });
}

/** `{key...}`, the rest of a path, is an ordinary parameter in OpenAPI. */
function documentPath(path: string): string {
  return path.replace("...}", "}");
}

function operationOf(route: Route): ZodOpenApiOperationObject {
  const { params, query, headers } = route;
  return {
    operationId: `${route.method}${route.path.replace(/[^a-z0-9]+(\w)?/gi, (_, letter: string = "") => letter.toUpperCase())}`,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    requestParams: {
      ...(params && { path: params }),
      ...(query && { query }),
      ...(headers && { header: headers }),
    },
    ...(route.body && { requestBody: { required: true, content: route.body } }),
    ...(route.scope === "open" ? { security: [] } : { "x-scope": route.scope }),
    responses: responsesOf(route),
  };
}

function responsesOf(route: Route): ZodOpenApiResponsesObject {
  const responses: ZodOpenApiResponsesObject = {};
  for (const [status, answer] of Object.entries(route.answers))
    responses[status as `${2 | 3 | 4 | 5}${string}`] = { ...answer }; // its keys are statuses
  const codes = [...(route.errors ?? []), ...(route.scope === "open" ? [] : KEY_ERRORS), ...ALWAYS];
  const { refusal, body: schema } = route.door?.documented ?? OURS;
  for (const [status, ofStatus] of Object.entries(Object.groupBy(codes.map(refusal), (said) => said.status))) {
    if (status in responses) continue;
    responses[status as `${4 | 5}${string}`] = {
      // a status of the table of errors
      description: (ofStatus ?? []).map(({ code }) => `\`${code}\``).join(", "),
      ...(route.method === "head" ? {} : { content: { "application/json": { schema } } }),
    };
  }
  return responses;
}

function webhookOperation(): ZodOpenApiOperationObject {
  return {
    summary: "What is sent to a job's webhook",
    description:
      "Signed as Standard Webhooks 1.0 says, with the secret of GET /v1/webhooks/secret; sent until accepted.",
    requestParams: {
      header: z.object({ "webhook-id": z.string(), "webhook-timestamp": z.string(), "webhook-signature": z.string() }),
    },
    requestBody: { required: true, content: { "application/json": { schema: WebhookEvent } } },
    responses: { "204": { description: "Any 2xx accepts it; 410 ends it; anything else is tried again for days" } },
  };
}

/** Of this package; `../../package.json` from src/reference and from dist/reference alike. */
function apiVersion(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return z.object({ version: z.string() }).parse(JSON.parse(manifest)).version;
}
