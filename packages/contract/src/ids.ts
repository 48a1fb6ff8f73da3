import * as z from "zod";

/** Canonical lowercase uuid: ComfyUI ≥ 0.24 accepts no other spelling as `prompt_id` (protocol §1.1), so neither do we. */
export const Uuid = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, "must be a lowercase uuid");

export const JobId = Uuid.meta({ description: "Id of a job (uuid, lowercase)" });
export const AssetId = Uuid.meta({ description: "Id of an uploaded asset (uuid, lowercase)" });

/** Who owns a job. Every look-up is by tenant; without API keys everything belongs to `default`. */
export const Tenant = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "1-63 of a-z 0-9 _ - and starting with a letter or digit");
export const DEFAULT_TENANT = "default";

export const PoolName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "1-63 of a-z 0-9 _ - and starting with a letter or digit")
  .meta({ description: "Instances that can serve the same jobs; one queue each" });
export const DEFAULT_POOL = "default";

/** A moment as RFC 3339 in UTC, as Comfy API v2 writes it. */
export const Moment = z.iso.datetime({ offset: true });

/** Turns Unix milliseconds into the moments of the API. */
export function toMoment(atMs: number): string {
  return new Date(atMs).toISOString();
}

/** Turns a moment of the API into Unix milliseconds; where there is none, there is none. */
export function fromMoment(moment: string | undefined): number | undefined {
  return moment === undefined ? undefined : Date.parse(moment);
}
