import { isTerminal, type JobFacts } from "@comfyq/contract";
import { withDeadline } from "@comfyq/runtime";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";

/** Longest wait that is granted, in seconds: proxies in between often cut at 60. */
const LONGEST_WAIT_SECONDS = 60;

/** The seconds that `Prefer: wait=30` asks for (RFC 7240), cut to what is granted; undefined when it does not. */
export function preferredWait(prefer: string | undefined): number | undefined {
  const [, seconds] = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:[,;]|$)/i.exec(prefer ?? "") ?? [];
  return seconds === undefined ? undefined : Math.min(Number(seconds), LONGEST_WAIT_SECONDS);
}

/** Waits until a job has ended, the seconds are over, or the client is gone. @returns the job as it is then */
export async function waitForEnd(rooms: Rooms, call: Call, job: JobFacts, seconds: number): Promise<JobFacts> {
  if (isTerminal(job.status)) return job;
  const { tenant } = call.caller;
  const signal = withDeadline(call.signal, seconds * 1_000);
  for await (const _event of rooms.producer.watch({ tenant, jobId: job.id, signal })) {
    // Only the end of the watch matters: it comes after the terminal event, or with the signal.
  }
  return (await rooms.producer.read(tenant, job.id)) ?? job;
}
