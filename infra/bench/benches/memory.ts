import type { Bench, Effort } from "../harness/bench.ts";
import type { Measured } from "../harness/report.ts";
import { forgetPeak, peakMb, residentMb } from "../rig/resident.ts";
import { openRig } from "../rig/rig.ts";
import { submitMany } from "../rig/work.ts";

const OUTPUTS = 4;
const SETTLE_MS = 2_000;

async function run({ isQuick }: Effort): Promise<Measured> {
  const sizeBytes = isQuick ? 8_000_000 : 1_000_000_000;
  await using rig = await openRig({
    env: { COMFYQ_STORING_MAX: String(OUTPUTS) },
    simulatorArgs: ["--no-previews"],
  });
  const untilTold = async (ids: readonly string[]) => rig.receiver.untilTold(ids);
  await untilTold(await submitMany(rig, 5, { inputBytes: 0, outputBytes: 100_000 })); // whatever is loaded once is loaded
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const { pid } = rig.system.workers[0] ?? { pid: 0 };
  const idleMb = residentMb(pid);
  forgetPeak(pid);
  const startedAtMs = performance.now();
  await untilTold(await submitMany(rig, OUTPUTS, { inputBytes: 0, outputBytes: sizeBytes }));
  const seconds = (performance.now() - startedAtMs) / 1_000;
  return {
    checks: [{ name: "mb_per_output", value: (peakMb(pid) - idleMb) / OUTPUTS, atMost: 64 }],
    baseline: `idle worker: ${Math.round(idleMb)} MB`,
    n: OUTPUTS,
    details: { peak_mb: Math.round(peakMb(pid)), mb_per_s: Math.round((OUTPUTS * sizeBytes) / 1e6 / seconds) },
  };
}

export const memory: Bench = {
  id: "B7",
  what: "worker memory for each of four outputs of 1 GB that are stored at once",
  run,
};
