import { COMFYQ_NAMESPACE, uuidV5 } from "@comfyq/contract";
import { newId } from "@comfyq/runtime";
import type { Request } from "express";
import { ApiError } from "./errors.ts";

const LONGEST_KEY = 255;

/** The request's Idempotency-Key. @throws ApiError `invalid_request` when it is empty or too long */
export function idempotencyKey(req: Request): string | undefined {
  const key = req.get("idempotency-key");
  if (key === undefined || (key !== "" && key.length <= LONGEST_KEY)) return key;
  throw new ApiError(
    "invalid_request",
    `The Idempotency-Key must have 1 to ${LONGEST_KEY} characters; a uuid is a good one`,
    { details: [{ path: "headers.idempotency-key", message: `must have 1 to ${LONGEST_KEY} characters` }] },
  );
}

/**
 * The id of the job that a request makes: derived from its Idempotency-Key, so that a repeat finds the same job however
 * much time has passed; else a new one.
 * @throws ApiError `invalid_request` when the key is empty or too long
 */
export function jobIdFor(req: Request, tenant: string): { readonly id: string; readonly key: string | undefined } {
  const key = idempotencyKey(req);
  return { id: key === undefined ? newId() : uuidV5(`${tenant}:${key}`, COMFYQ_NAMESPACE), key };
}
