import { randomUUID } from "node:crypto";
import type { Bench, Effort } from "../harness/bench.ts";
import { interleave } from "../harness/interleave.ts";
import type { Measured } from "../harness/report.ts";
import { median, medianRatio, rounded } from "../harness/statistics.ts";
import { openLine } from "../rig/httpLine.ts";
import { CLIENTS, perSecond } from "../rig/perSecond.ts";
import { openRig } from "../rig/rig.ts";
import { tenKilobytes } from "../rig/tenKilobytes.ts";

async function run({ isQuick }: Effort): Promise<Measured> {
  await using rig = await openRig({ hasS3: false, startWorkers: false });
  const lines = await Promise.all(Array.from({ length: CLIENTS }, () => openLine(rig.system.url)));
  const plain = tenKilobytes();
  const [told, untold] = [JSON.stringify({ ...plain, webhook: { url: rig.receiver.url } }), JSON.stringify(plain)];
  const submit = (text: string) => async (client: number) => {
    const answer = await lines[client]?.post("/v1/jobs", `Idempotency-Key: ${randomUUID()}\r\n`, text);
    if (answer?.status !== 201) throw new Error(`submit answered ${answer?.status}: ${answer?.body}`);
  };
  const [pairs, calls] = isQuick ? [1, 128] : [9, 1_500];
  const both = () =>
    interleave(
      pairs,
      () => perSecond(calls, submit(told)),
      () => perSecond(calls, submit(untold)),
    );
  if (!isQuick) await perSecond(2 * calls, submit(untold)); // code that has not run yet is slow, and says nothing of the day
  const measured = await both();
  for (const line of lines) line.close();
  return {
    checks: [{ name: "with_by_without", value: medianRatio(measured), atLeast: 0.85 }],
    baseline: `without a webhook: ${Math.round(median(measured.map(({ baseline }) => baseline)))} submissions/s`,
    n: pairs * calls,
    details: { with_webhook_per_s: rounded(median(measured.map(({ subject }) => subject)), 0) },
  };
}

export const webhookEnqueue: Bench = {
  id: "B15",
  what: "submissions per second by 64 clients with a webhook, by the same without",
  run,
};
