import { isTerminal, JobEvent } from "@comfyq/contract";
import { sleep } from "@comfyq/runtime";
import { createParser } from "eventsource-parser";
import { CliError } from "../CliError.ts";
import type { ApiClient } from "./apiClient.ts";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
/** Silence on the line after which it counts as cut; the API sends a comment every few seconds. */
const SILENCE_MS = 60_000;
/** Failures in a row after which nobody will answer any more: about a minute. */
const MOST_FAILURES = 15;

/** What a watcher is told beside the events. */
export interface WatchOptions {
  readonly signal: AbortSignal;
  /** The line was cut; it is tried again in `waitMs`. */
  readonly onCut: (waitMs: number) => void;
}

/**
 * The events of a job until it has ended, over any number of connections: each resumes where the last one was cut
 * (`Last-Event-ID`). A job that has ended gives its end at once.
 * @throws CliError `refused` when the API does not know the job, `unreachable` when it stays away for a minute
 */
export async function* watchEvents(
  client: ApiClient,
  jobId: string,
  { signal, onCut }: WatchOptions,
): AsyncGenerator<JobEvent> {
  let lastId: string | undefined;
  for (let failures = 0; ; ) {
    try {
      for await (const { id, event } of readStream(client, jobId, { lastId, signal })) {
        failures = 0;
        lastId = id ?? lastId;
        if (!event) continue;
        yield event;
        if (event.event === "status" && isTerminal(event.data.status)) return;
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof CliError && error.code !== "unreachable") throw error;
      if (failures >= MOST_FAILURES) throw error;
    }
    failures += 1;
    const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1));
    onCut(waitMs);
    await sleep(waitMs, signal);
  }
}

interface StreamItem {
  readonly id: string | undefined;
  /** Undefined for an event this version does not know. */
  readonly event: JobEvent | undefined;
}

/** One connection's events; ends when the server ends it, throws when it is cut or silent. */
async function* readStream(
  client: ApiClient,
  jobId: string,
  { lastId, signal }: { readonly lastId: string | undefined; readonly signal: AbortSignal },
): AsyncGenerator<StreamItem> {
  const silence = new AbortController();
  const headers = { accept: "text/event-stream", ...(lastId === undefined ? {} : { "last-event-id": lastId }) };
  const both = AbortSignal.any([signal, silence.signal]);
  const path = `/v1/jobs/${encodeURIComponent(jobId)}/events`;
  const { body } = await client.send({ path, headers, signal: both });
  if (!body) return;
  const items: StreamItem[] = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) => items.push({ id, event: parseEvent(event, data) }),
  });
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  while (true) {
    const heard = new AbortController();
    sleep(SILENCE_MS, heard.signal).then(
      () => silence.abort(new Error("the event stream fell silent")),
      () => undefined,
    );
    const chunk = await reader.read().finally(() => heard.abort());
    if (chunk.done) return;
    parser.feed(chunk.value);
    yield* items.splice(0);
  }
}

function parseEvent(event: string | undefined, text: string): JobEvent | undefined {
  try {
    return JobEvent.safeParse({ event, data: JSON.parse(text) }).data;
  } catch {
    return undefined;
  }
}
