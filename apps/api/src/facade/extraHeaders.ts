import { NewJob } from "@comfyq/contract";
import type { Request } from "express";
import * as z from "zod";
import { closestName } from "../closestName.ts";
import { ApiError, quoted } from "../errors.ts";

/** One header of ours, and the field of `POST /v1/jobs` that it stands for. */
interface ExtraHeader {
  /** Of NewJob, dotted. */
  readonly field: string;
  /** What the field is checked as; what cannot be read stays as it is, for the field's own schema to refuse. */
  readonly read: (text: string) => unknown;
  readonly says: string;
}

const text = (value: string) => value;
const number = (value: string) => (/^-?\d{1,15}$/.test(value) ? Number(value) : value);
const list = (value: string) => value.split(",").flatMap((part) => part.trim() || []);

const HEADERS: Readonly<Record<string, ExtraHeader>> = {
  "Comfyq-Pool": { field: "pool", read: text, says: "The pool that runs it" },
  "Comfyq-Priority": { field: "priority", read: number, says: "Higher runs first" },
  "Comfyq-Webhook-Url": { field: "webhook.url", read: text, says: "Who is told how it ends" },
  "Comfyq-Webhook-Events": { field: "webhook.events", read: list, says: "job.started, job.succeeded and so on" },
  "Comfyq-Run-At": { field: "run_at", read: text, says: "Not before this moment (RFC 3339)" },
  "Comfyq-Expires-In-S": { field: "expires_in_s", read: number, says: "Give up if not started by then" },
  "Comfyq-Timeout-S": { field: "timeout_s", read: number, says: "Longest one attempt may take" },
  "Comfyq-Max-Attempts": { field: "max_attempts", read: number, says: "Tries that fail for a reason in the job" },
  "Comfyq-Cache": { field: "cache", read: text, says: "use, refresh or off" },
  "Comfyq-Tags": { field: "tags", read: list, says: "Tags, with commas between them" },
};

const PREFIX = "comfyq-";
const BY_NAME = new Map(Object.entries(HEADERS).map(([name, header]) => [name.toLowerCase(), { name, ...header }]));
const BY_FIELD = new Map([...BY_NAME.values()].map(({ name, field }) => [field, name]));

/** For the reference page. */
export const EXTRA_HEADERS = z.object(
  Object.fromEntries(
    Object.entries(HEADERS).map(([name, { field, says }]) => [
      name,
      z
        .string()
        .optional()
        .meta({ description: `${says}; \`${field}\` of POST /v1/jobs` }),
    ]),
  ),
);

/**
 * What of our own API can be asked for through an API that others defined: as headers, since their bodies are closed.
 * @returns fields of a body of `POST /v1/jobs`, not checked yet
 * @throws ApiError `invalid_request` for a header of ours that there is not: it would have been ignored
 */
export function readExtraHeaders(req: Request): Readonly<Record<string, unknown>> {
  const fields: Record<string, Record<string, unknown>> = {};
  const given: Record<string, unknown> = {};
  for (const [header, value] of Object.entries(req.headers)) {
    if (!header.startsWith(PREFIX) || value === undefined) continue;
    const known = BY_NAME.get(header);
    if (!known) throw unknownHeader(header);
    const [field = "", inner] = known.field.split(".");
    const read = known.read([value].flat().join(", "));
    if (inner === undefined) given[field] = read;
    else fields[field] = { ...fields[field], [inner]: read };
  }
  return { ...given, ...fields };
}

function unknownHeader(header: string): ApiError {
  const near = closestName(header, [...BY_NAME.keys()]);
  const guess = near === undefined ? "" : `; did you mean ${BY_NAME.get(near)?.name}?`;
  return new ApiError("invalid_request", `There is no header ${quoted(header)} here${guess}`, {
    details: [{ path: `headers.${header}`, message: "is not a header here; it would have been ignored" }],
  });
}

/** The path of a fault in a field that came as a header; undefined when it did not. */
export function headerPath(path: string): string | undefined {
  const [field = ""] = path.split(".");
  if (!(field in NewJob.shape)) return undefined;
  const name = BY_FIELD.get(path) ?? BY_FIELD.get(field) ?? (field === "webhook" ? "Comfyq-Webhook-Url" : undefined);
  return name === undefined ? undefined : `headers.${name.toLowerCase()}`;
}
