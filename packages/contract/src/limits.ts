import * as z from "zod";
import { Tenant } from "./ids.ts";

const limit = <T extends z.ZodType>(most: T) => most.nullable().optional();

/** What one tenant may have at once, or in a time. Left out: as everybody else; null: without limit. */
export const TenantLimits = z.strictObject({
  queued: limit(z.int().min(1)).meta({ description: "Jobs that wait" }),
  running: limit(z.int().min(1)).meta({ description: "Jobs that workers hold at once" }),
  requests_per_s: limit(z.number().positive()).meta({ description: "API calls per second, over all API processes" }),
  gpu_seconds_per_day: limit(z.number().min(0)).meta({ description: "Seconds of rendering in one day, UTC" }),
});
export type TenantLimits = z.infer<typeof TenantLimits>;
export type LimitName = keyof TenantLimits;

/** The limits file of the operator (`COMFYQ_LIMITS_FILE`). */
export const LimitsFile = z.strictObject({
  v: z.literal(1),
  default: TenantLimits.default({}),
  tenants: z.record(Tenant, TenantLimits).default({}),
});
export type LimitsFile = z.infer<typeof LimitsFile>;

/** Pure: what holds for one tenant. */
export function limitsOf(file: LimitsFile, tenant: string): TenantLimits {
  return { ...file.default, ...file.tenants[tenant] };
}

const most = z.number().nullable().meta({ description: "null: without limit" });
const used = z.number().meta({ description: "In use now" });

/** What a tenant is shown of its own limits. */
export const LimitsView = z
  .object({
    tenant: z.string(),
    queued: z.object({ limit: most, used }),
    running: z.object({ limit: most, used }),
    requests_per_s: z.object({ limit: most }),
    gpu_seconds_per_day: z.object({
      limit: most,
      used: z.number().meta({ description: "Rendered today, failed attempts included" }),
      resets_in_s: z.int().meta({ description: "Seconds to midnight, UTC" }),
    }),
  })
  .meta({ id: "Limits" });
export type LimitsView = z.infer<typeof LimitsView>;
