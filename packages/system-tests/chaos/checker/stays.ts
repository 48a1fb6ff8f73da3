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
  const present = new Map<string, Stay[]>();
  const leave = (stay: Stay, line: Line, how: Stay["how"]) => {
    stay.goneAtMs = line.t;
    stay.how = how;
    const left = (present.get(stay.simulator) ?? []).filter((other) => other !== stay);
    present.set(stay.simulator, left);
  };
  for (const line of lines) {
    const simulator = line.op === "process_ended" ? line.name : String(line.actor);
    const here = present.get(simulator) ?? [];
    switch (line.op) {
      case "queued": {
        if (typeof line.job !== "string" || typeof line.epoch !== "number") break; // nobody's, or a canary's
        const stay = newStay({ ...line, job: line.job, epoch: line.epoch });
        stays.push(stay);
        present.set(simulator, [...here, stay]);
        break;
      }
      case "started": {
        const stay = here.find(({ prompt, started }) => prompt === line.prompt && started === undefined);
        if (stay) stay.started = line;
        break;
      }
      case "ended":
      case "removed": {
        const stay = here.find(({ prompt, started }) => prompt === line.prompt && (line.op === "removed" || started));
        if (stay && line.op === "ended") stay.status = line.status;
        if (stay) leave(stay, line, line.op);
        break;
      }
      case "booted":
      case "crashed":
      case "process_ended":
        for (const stay of here) leave(stay, line, "lost");
        break;
      default: // says nothing about prompts
    }
  }
  return stays;
}

function newStay(queued: LineOf<"queued"> & { readonly job: string; readonly epoch: number }): Stay {
  const { prompt, job, epoch, actor } = queued;
  const simulator = String(actor);
  return {
    prompt,
    job,
    epoch,
    simulator,
    queued,
    started: undefined,
    goneAtMs: Number.POSITIVE_INFINITY,
    how: "held",
    status: undefined,
  };
}
