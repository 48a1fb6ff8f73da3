import type { RetriedJob, RetryRequest } from "@comfyq/contract";
import { table } from "../table.ts";

interface RetryFacts {
  readonly status: RetryRequest["status"];
  readonly isDryRun: boolean;
}

/** Which jobs were retried, or would be: a line each, then how many and why they had failed. */
export function describeRetries(retried: readonly RetriedJob[], { status, isDryRun }: RetryFacts): string {
  if (retried.length === 0) return `No ${status} jobs to retry.`;
  const rows = retried.map(({ from, to, code, replayed }) => [from, to ?? "", code ?? "", replayed ? "before" : ""]);
  const fresh = retried.filter(({ replayed }) => !replayed);
  const before = retried.length - fresh.length;
  const done = `${isDryRun ? "Would retry" : "Retried"} ${fresh.length} ${status} ${fresh.length === 1 ? "job" : "jobs"}`;
  const skipped =
    before === 0 ? "" : `; ${before} retried before ${before === 1 ? "is left as it is" : "are left as they are"}`;
  return [table(["JOB", "NEW JOB", "CODE", ""], rows), "", `${done}${byCode(fresh)}${skipped}.`].join("\n");
}

/** ` (10 comfyui_unreachable, 2 poison)`, the most frequent first. */
function byCode(retried: readonly RetriedJob[]): string {
  const codes = Object.entries(Object.groupBy(retried, ({ code }) => code ?? ""))
    .filter(([code]) => code !== "")
    .map(([code, of]) => ({ code, count: of.length }))
    .sort((a, b) => b.count - a.count);
  return codes.length === 0 ? "" : ` (${codes.map(({ code, count }) => `${count} ${code}`).join(", ")})`;
}
