import { type JobEvent, jobFailure, type Progress, type Workflow } from "@comfyq/contract";
import type { OpenSeat } from "./cacheSeat.ts";
import { nowMs } from "./clock.ts";
import type { Desk, Drop, Found } from "./desk.ts";
import { toBullPriority } from "./envelopes.ts";
import type { HeldJob } from "./heldJob.ts";
import { appendEvent, publishPreview } from "./jobEvents.ts";
import { type Lock, whileOurs } from "./keepLock.ts";
import { setField, setPriority, writeJournal } from "./lockScripts.ts";
import { newPage, type Page } from "./page.ts";
import { orUnreadable } from "./papers.ts";
import { askedEarly, orAborted, within } from "./persist.ts";
import { progressField, readRequest } from "./record.ts";
import { openRelay } from "./relay.ts";
import type { QueueRoom } from "./room.ts";
import { type Hold, settle } from "./settle.ts";
import { type Tellings, tellingsOf, wantedTypes } from "./tellings.ts";
import { throttle } from "./throttle.ts";

interface Taken extends Found {
  readonly drop: Drop;
  readonly seat: OpenSeat | undefined;
}

/**
 * Begins the attempt and lends the job. From its first page on, a worker that dies here has died of this job: the graph is
 * read only then, and one that kills every worker that parses it is found out.
 * @returns undefined when its graph is gone or cannot be read: it is then ended as failed
 */
export async function holdJob(desk: Desk, hold: Hold, found: Taken): Promise<HeldJob | undefined> {
  const { room, lock, epoch, bullJob } = hold;
  const { record } = found;
  const page = newPage(room, lock, {
    epoch,
    workerId: desk.workerId,
    instance: desk.instance,
    instanceId: desk.instanceId,
  });
  const sayLastWord = () => {
    const word = page.closeAsGhost(desk.closing).finally(() => desk.lastWords.delete(word));
    desk.lastWords.add(word);
  };
  lock.lost.addEventListener("abort", sayLastWord, { once: true });
  const opened = page.write({});
  // In this order on one connection, so that the page stands when the graph arrives.
  const request = askedEarly(() => orUnreadable(() => readRequest(room.redis, room.names, lock.jobId)));
  const wanted = askedEarly(() => wantedTypes(room, record.tenant));
  await opened;
  // It was declined before and stood outside of its priority.
  if (bullJob.priority === 0)
    await whileOurs(lock, () => setPriority(room, lock, toBullPriority(record.head.priority)));
  const papers = await whileOurs(lock, request);
  const ofEndpoints = await whileOurs(lock, wanted);
  if ("unreadable" in papers || !papers.found) {
    const why = "unreadable" in papers ? papers.unreadable : "its record is gone";
    const error = jobFailure("internal", `This job cannot be started: ${why}; submit it again`);
    const outcome = { kind: "failed", error } as const;
    if (await settle(hold, outcome, { writeEnd: page.write }))
      await tellSeat(room, found.seat?.settled(outcome, undefined));
    return undefined;
  }
  const tellings = tellingsOf(room, {
    tenant: record.tenant,
    jobId: lock.jobId,
    epoch,
    wanted: new Set([...ofEndpoints, ...(record.head.webhook?.events ?? [])]),
    isOurs: () => lock.isOurs(),
    nowMs,
  });
  await whileOurs(lock, () => tellings.started());
  return {
    id: lock.jobId,
    tenant: record.tenant,
    pool: lock.pool,
    epoch,
    createdAtMs: record.createdAtMs,
    head: record.head,
    request: papers.found.request,
    sealedSecrets: papers.found.sealedSecrets,
    earlier: found.earlier,
    signal: found.drop.signal,
    isOurs: () => lock.isOurs(),
    journal: page.write,
    cache: found.seat,
    ...lend(hold, page, { ...found, tellings, workflow: papers.found.request.workflow }),
  };
}

/** What a holder may show of its job, and how it lets it go. */
function lend(
  hold: Hold,
  page: Page,
  { drop, seat, workflow, record, tellings }: Taken & { readonly workflow: Workflow; readonly tellings: Tellings },
): Pick<HeldJob, "report" | "show" | "end" | "relay" | "keepEntry"> {
  const { room, lock, epoch } = hold;
  const { tenant } = record;
  const { prompt } = record.head;
  const progress = throttle(room.settings.progressEveryMs, (latest: Progress) =>
    writeProgress(room, lock, { epoch, latest }),
  );
  const preview = throttle(room.settings.previewEveryMs, async (event: JobEvent) => {
    if (lock.isOurs()) await publishPreview(room, lock.jobId, event);
  });
  return {
    report: (latest) => {
      if (!lock.isOurs()) return;
      progress.push(latest);
      tellings.progressed();
    },
    show: (event) => {
      if (event.event === "preview") return preview.push(event);
      if (lock.isOurs()) void appendEvent(room, lock.jobId, event).catch(() => {});
      tellings.stored(event);
    },
    relay: prompt && openRelay(room, { jobId: lock.jobId, tenant, prompt }),
    keepEntry: async (entry) =>
      void (await whileOurs(lock, () => setField(room, lock, { field: "entry", text: entry }))),
    end: async (outcome, gpuMs) => {
      try {
        // Lost: settle says so.
        await orAborted(lock.lost, Promise.all([progress.flush(), tellings.close()])).catch(() => {});
        const isEnded = await settle(hold, outcome, { writeEnd: page.write, gpuMs });
        if (isEnded) await tellSeat(room, seat?.settled(outcome, workflow));
        return isEnded;
      } finally {
        lock.stop();
        drop.unlisten();
      }
    },
  };
}

/** Whoever waits for the result looks for itself by and by, should this fail. */
async function tellSeat(room: QueueRoom, telling: Promise<void> | undefined): Promise<void> {
  if (telling) await within(room.settings.commandTimeoutMs, telling).catch(() => {});
}

/** A ghost is silent: its progress would be shown beside that of the next attempt. */
async function writeProgress(
  room: QueueRoom,
  lock: Lock,
  { epoch, latest }: { readonly epoch: number; readonly latest: Progress },
): Promise<void> {
  const isOurs = await writeJournal(room, lock, { field: progressField(epoch), text: JSON.stringify(latest) });
  if (isOurs) await appendEvent(room, lock.jobId, { event: "progress", data: { ...latest, attempt: epoch } });
}
