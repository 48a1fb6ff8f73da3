import { LimitsView } from "@comfyq/contract";
import { createApiClient } from "../api/apiClient.ts";
import { EXIT, type ExitCode } from "../CliError.ts";
import { readCliEnv } from "../config.ts";
import { table } from "../table.ts";

/** `comfyq limits`: what this tenant may use, and uses. */
export async function limits({ json }: { readonly json?: boolean }): Promise<ExitCode> {
  const view = await createApiClient(readCliEnv()).ask({ path: "/v1/limits" }, LimitsView);
  process.stdout.write(json ? `${JSON.stringify(view, null, 2)}\n` : shown(view));
  return EXIT.succeeded;
}

function shown({ tenant, queued, running, requests_per_s, gpu_seconds_per_day: gpu }: LimitsView): string {
  const rows = [
    ["jobs queued", String(queued.used), most(queued.limit)],
    ["jobs running", String(running.used), most(running.limit)],
    ["API calls per second", "", most(requests_per_s.limit)],
    ["GPU seconds today (UTC)", gpu.used.toFixed(1), `${most(gpu.limit)}; from 0 again in ${inHours(gpu.resets_in_s)}`],
  ];
  return `Tenant ${tenant}\n${table(["", "USED", "LIMIT"], rows)}\n`;
}

function most(limit: number | null): string {
  return limit === null ? "none" : String(limit);
}

function inHours(seconds: number): string {
  const minutes = Math.ceil(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
