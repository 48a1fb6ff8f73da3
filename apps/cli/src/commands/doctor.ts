import { type DoctorCheck, DoctorReport } from "@comfyq/contract";
import { createColors } from "picocolors";
import { createApiClient } from "../api/apiClient.ts";
import { EXIT, type ExitCode } from "../CliError.ts";
import { readCliEnv } from "../config.ts";

/** `comfyq doctor`: has the system look at itself (Redis, storage, every ComfyUI, the clock) and says what to do. */
export async function doctor({ json }: { readonly json?: boolean }): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const report = await client.ask({ path: "/v1/doctor" }, DoctorReport);
  process.stdout.write(`${json ? JSON.stringify(report, null, 2) : shown(report, client.url)}\n`);
  return report.ok ? EXIT.succeeded : EXIT.failed;
}

const colors = createColors(process.stdout.isTTY && process.stdout.hasColors());
const MARKS: Readonly<Record<DoctorCheck["state"], string>> = {
  ok: colors.green("ok  "),
  warn: colors.yellow("warn"),
  fail: colors.red("FAIL"),
};

function shown({ ok, checks }: DoctorReport, url: string): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map(({ name, state, found, advice }) => {
    const what = advice === null ? found : `${found}\n${" ".repeat(width + 8)}→ ${advice}`;
    return `${MARKS[state]}  ${name.padEnd(width)}  ${what}`;
  });
  const verdict = ok ? `comfyq at ${url} is well.` : `comfyq at ${url} needs attention: see → above.`;
  return [...lines, "", verdict].join("\n");
}
