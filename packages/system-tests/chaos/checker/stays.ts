import type { Line, LineOf } from "../history.ts";

/** One prompt of ours at one simulator, from the moment it was queued until it was no longer there. */
export interface Stay {
  readonly prompt: string;
  readonly job: string;
  /** The attempt it was made for; a later one may have rejoined it. */
  readonly epoch: number;
  readonly simulator: string;
  readonly queued: LineOf<"queued">;
  started: LineOf<"started"> | undefined;
  /** Infinity while it is still there at the end of the history. */
  goneAtMs: number;
  /** `lost`: its simulator went away with it. */
  how: "ended" | "removed" | "lost" | "held";
  /** How ComfyUI ended it: success, error, interrupted. */
  status: string | undefined;
}

/** Follows every prompt of ours through the simulators, in the order in which they were queued. */
export function staysIn(lines: readonly Line[]): readonly Stay[] {
  const stays: Stay[] = [];
  const present = new Map<string, readonly Stay[]>();
  for (const line of lines) {
    const simulator = line.op === "process_ended" ? line.name : String(line.actor);
    const here = present.get(simulator) ?? [];
    const come = line.op === "queued" ? newStay(line) : undefined;
    if (come) stays.push(come);
    if (line.op === "started") {
      const stay = here.find(({ prompt, started }) => prompt === line.prompt && started === undefined);
      if (stay) stay.started = line;
    }
    const gone = goneWith(line, here);
    present.set(
      simulator,
      [...here, ...(come ? [come] : [])].filter((stay) => !gone.includes(stay)),
    );
  }
  return stays;
}

/** Notes what left the simulator with this line. @param here its prompts before */
function goneWith(line: Line, here: readonly Stay[]): readonly Stay[] {
  const leave = (gone: readonly Stay[], how: Stay["how"]) => {
    for (const stay of gone) Object.assign(stay, { goneAtMs: line.t, how });
    return gone;
  };
  if (line.op === "booted" || line.op === "crashed" || line.op === "process_ended") return leave(here, "lost");
  if (line.op !== "ended" && line.op !== "removed") return [];
  const stay = here.find(({ prompt, started }) => prompt === line.prompt && (line.op === "removed" || started));
  if (stay && line.op === "ended") stay.status = line.status;
  return leave(stay ? [stay] : [], line.op);
}

/** Nothing for a prompt that is nobody's, or a canary's. */
function newStay(queued: LineOf<"queued">): Stay | undefined {
  const { prompt, job, epoch, actor } = queued;
  if (typeof job !== "string" || typeof epoch !== "number") return undefined;
  return {
    prompt,
    job,
    epoch,
    simulator: String(actor),
    queued,
    started: undefined,
    goneAtMs: Number.POSITIVE_INFINITY,
    how: "held",
    status: undefined,
  };
}
