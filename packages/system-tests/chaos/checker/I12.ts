import { faultKind } from "../faultKinds.ts";
import type { Line } from "../history.ts";
import { type Facts, faultSpans } from "./facts.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";
import type { Stay } from "./stays.ts";

/** Workflows that break the instance they run on, by design of these runs: each of their renders may be followed by one. */
const BREAKING_KINDS = ["poison", "out_of_memory"];

/**
 * I12. No fault wastes more than it must. Every render of a job beyond its first is explained by something that happened
 * since the one before: the death or the fencing of its worker, the death of its ComfyUI, or a fault that breaks what was
 * rendered (memory, CUDA, a zombie, somebody's interrupt, evicted history or files). Faults of the API, of webhooks, of
 * the store, of a websocket, and short ones of Redis explain none.
 */
export function checkI12(facts: Facts): Finding {
  return sum(
    facts.accepted.map(({ job, kind }) => {
      const renders = facts.staysOf(job).filter(({ started }) => started);
      if (renders.length === 0) return { judged: 0, breaches: [] };
      if (BREAKING_KINDS.includes(kind)) return judged();
      return judged(...renders.slice(1).map((render, at) => unexplained(facts, renders[at], render)));
    }),
  );
}

function unexplained(facts: Facts, before: Stay | undefined, render: Stay): Breach | undefined {
  if (!before?.started || !render.started) return undefined;
  const during = { fromMs: before.started.t, toMs: render.started.t };
  const isDuring = ({ t }: Line) => t >= during.fromMs && t <= during.toMs;
  // Also after its end: a history that nobody has read yet dies with it.
  const ends = [...facts.of("booted"), ...facts.of("crashed"), ...facts.of("process_ended")];
  const comfyuiDied = ends.some((line) => nameOf(line) === before.simulator && isDuring(line));
  const broken = faultSpans(
    facts,
    (fault) => fault.simulator === before.simulator && faultKind(fault.kind).mayCostRender,
  );
  const wasBroken = broken.some(({ fromMs, toMs }) => fromMs <= during.toMs && toMs >= during.fromMs);
  if (comfyuiDied || wasBroken || lostItsWorker(facts, before, render)) return undefined;
  return { why: "it was rendered again, and nothing explains why", lines: [before.started, render.started] };
}

/** Did an attempt between these renders die, lose its lock (one that slept says so when it wakes, later), or drain away? */
function lostItsWorker(facts: Facts, before: Stay, render: Stay): boolean {
  const isBetween = ({ epoch }: { readonly epoch: number }) => epoch >= before.epoch && epoch < render.epoch;
  const settled = facts.about(render.job, "settled").filter(isBetween);
  if (facts.about(render.job, "fenced").some(isBetween) || settled.some(({ ended }) => !ended)) return true;
  const attempts = facts.about(render.job, "claimed").filter(isBetween);
  return attempts.some(({ epoch, actor, t }) => {
    const end = settled.find((line) => line.epoch === epoch);
    if (end && end.outcome !== "give_back") return false;
    const untilMs = end ? render.queued.t : Number.POSITIVE_INFINITY;
    return facts.of("process_ended").some((line) => line.pid === actor && line.t >= t && line.t <= untilMs);
  });
}

function nameOf(line: Line): string {
  return line.op === "process_ended" ? line.name : String(line.actor);
}
