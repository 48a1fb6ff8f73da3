import { NewJob } from "@comfyq/contract";
import type { Request } from "express";
import { ApiError } from "../../errors.ts";
import { readExtraHeaders } from "../extraHeaders.ts";

/** The pool that a client names in `Comfyq-Pool`; else the default one. @throws ApiError `invalid_request` */
export function poolOf(req: Request): string {
  const pool = NewJob.shape.pool.safeParse(readExtraHeaders(req)["pool"]);
  if (pool.success) return pool.data;
  throw new ApiError("invalid_request", "Comfyq-Pool is no name of a pool; GET /v1/pools lists those there are", {
    details: [{ path: "headers.comfyq-pool", message: pool.error.issues[0]?.message ?? "cannot be taken" }],
  });
}
