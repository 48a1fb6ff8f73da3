import { isTerminal, JobEvent } from "@comfyq/contract";
import type { Accepted } from "./customer.ts";
import type { Dice } from "./dice.ts";
import type { Fleet } from "./fleet.ts";

const RECONNECT_MS = 200;
/** A stream that says nothing for this long (its API is frozen, say) is opened again. */
const SILENCE_MS = 6_000;

interface Watch {
  readonly job: Accepted;
  readonly watcher: string;
  /** How long it listens before it hangs up by itself and comes back. */
  readonly dice: Dice;
  readonly signal: AbortSignal;
}

/** Follows a job's events to their end, over any number of broken streams, as a browser does. */
export async function watch(fleet: Fleet, { job, watcher, dice, signal }: Watch): Promise<void> {
  let after: string | null = null;
  while (!signal.aborted) {
    fleet.history.note(watcher, { op: "watching", job: job.id, watcher, after });
    const hangUp = AbortSignal.any([signal, AbortSignal.timeout(dice.whole(300, SILENCE_MS))]);
    for await (const { id, event } of events(fleet, job, { after, signal: hangUp })) {
      after = id ?? after;
      if (event.event === "progress") {
        const { attempt, value } = event.data;
        fleet.history.note(watcher, { op: "progress", job: job.id, watcher, attempt, value });
      }
      if (event.event !== "status" || !isTerminal(event.data.status)) continue;
      fleet.history.note(watcher, { op: "terminal", job: job.id, watcher, status: event.data.status });
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

interface Received {
  readonly id: string | undefined;
  readonly event: JobEvent;
}

interface Place {
  readonly after: string | null;
  readonly signal: AbortSignal;
}

/** The events of one connection; ends when it breaks. */
async function* events(fleet: Fleet, { id, tenant }: Accepted, { after, signal }: Place): AsyncGenerator<Received> {
  const headers = {
    authorization: `Bearer ${fleet.keys[tenant]}`,
    ...(after === null ? {} : { "last-event-id": after }),
  };
  try {
    const answer = await fetch(`${fleet.url}/v1/jobs/${id}/events`, { headers, signal });
    if (answer.status !== 200 || !answer.body) return;
    let text = "";
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      const frames = (text + chunk).split("\n\n");
      text = frames.pop() ?? "";
      yield* frames.flatMap(readFrame);
    }
  } catch {} // hung up, or cut off: it comes back with the last id it has
}

/** One event; nothing for comments and hints. */
function readFrame(frame: string): readonly Received[] {
  const fields = new Map(frame.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]));
  const text = fields.get("data");
  if (text === undefined) return [];
  const data: unknown = JSON.parse(text);
  return [{ id: fields.get("id"), event: JobEvent.parse({ event: fields.get("event"), data }) }];
}
