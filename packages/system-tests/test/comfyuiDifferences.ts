/** One recorded conversation, or the same one with comfyq, in the form of the recordings. */
export interface Dialogue {
  readonly status: number;
  readonly answer: unknown;
  /** Frames to who submitted, and to another client. */
  readonly client: readonly unknown[];
  readonly other: readonly unknown[];
  readonly history: unknown;
  readonly job: unknown;
}

/** Where comfyq does not say what ComfyUI said, and why; mirrored in infra/docs/doors.md. Anything else must be equal. */
interface Difference {
  readonly scenarios: readonly string[] | "all";
  readonly version?: string;
  readonly reason: string;
  /** Takes away what differs; done to both sides. */
  readonly without: (dialogue: Dialogue) => Dialogue;
}

export const DIFFERENCES: readonly Difference[] = [
  {
    scenarios: "all",
    reason:
      "A file's subfolder begins with the job's id, and its counter starts anew: each attempt saves in a folder of its own, on whichever instance, so that jobs can never mix files",
    without: (dialogue) => rewrite(dialogue, (key, value) => (key === "subfolder" ? "" : counted(key, value))),
  },
  {
    scenarios: ["identical_resubmission_fully_cached"],
    reason: "The save node runs again, into the new job's own folder; what it depends on comes from ComfyUI's cache",
    without: (dialogue) =>
      framesOnly(
        rewrite(dialogue, (key, value) => (key === "nodes" ? [] : value)),
        (frame) => !isType(frame, "progress_state") && !(isType(frame, "executing") && !isEnd(frame)),
      ),
  },
  {
    scenarios: ["oom"],
    reason: "Out of memory is tried once more: another GPU may be larger, or this one emptier by then",
    without: (dialogue) => ({
      ...dialogue,
      client: withoutRepeats(fromLast(dialogue.client, "execution_start")),
      other: withoutRepeats(dialogue.other),
    }),
  },
  {
    scenarios: ["interrupt_in_progress_node", "interrupt_without_client_id"],
    reason: "None: how far a node had come when it was interrupted differs from run to run",
    without: (dialogue) => {
      const isStep = (frame: unknown) => isType(frame, "progress") || isType(frame, "progress_state");
      return framesOnly(dialogue, (frame) => !isStep(frame));
    },
  },
  {
    scenarios: "all",
    version: "0.3.64",
    reason: "A prompt's extra_data has its create_time, as every server since 0.3.68 gives it",
    without: (dialogue) => rewrite(dialogue, (key, value) => (key === "create_time" ? undefined : value)),
  },
  {
    scenarios: ["validation_unknown_node", "validation_dependency_cycle"],
    version: "0.3.64",
    reason: "Graphs are refused in the words of the newest servers (missing_node_type, dependency_cycle)",
    without: (dialogue) => ({ ...dialogue, answer: null }),
  },
  {
    scenarios: "all",
    version: "0.3.64",
    reason: "There is a jobs API, whatever the instances' version",
    without: (dialogue) => ({ ...dialogue, job: null }),
  },
];

/** What a dialogue says besides what may differ. */
export function comparable(dialogue: Dialogue, scenario: string, version: string): Dialogue {
  const allowed = DIFFERENCES.filter(
    (one) =>
      (one.scenarios === "all" || one.scenarios.includes(scenario)) &&
      (one.version === undefined || one.version === version),
  );
  return allowed.reduce((left, { without }) => without(left), dialogue);
}

/** The greeting's features are our own. */
export function greeting(frames: readonly unknown[]): readonly unknown[] {
  return frames.map((frame) => (isType(frame, "feature_flags") ? "feature_flags" : frame));
}

type Rewrite = (key: string, value: unknown) => unknown;

function rewrite(dialogue: Dialogue, change: Rewrite): Dialogue {
  return rewritten(dialogue, change) as Dialogue; // the same shape, with other leaves
}

function rewritten(value: unknown, change: Rewrite): unknown {
  if (Array.isArray(value)) return value.map((item) => rewritten(item, change));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, change(key, rewritten(inner, change))] as const);
  return Object.fromEntries(entries.filter(([, inner]) => inner !== undefined));
}

function counted(key: string, value: unknown): unknown {
  return key === "filename" ? String(value).replace(/_\d{5}_/, "_N_") : value;
}

function framesOnly(dialogue: Dialogue, isWanted: (frame: unknown) => boolean): Dialogue {
  return { ...dialogue, client: dialogue.client.filter(isWanted), other: dialogue.other.filter(isWanted) };
}

function isType(frame: unknown, type: string): boolean {
  return typeof frame === "object" && frame !== null && "type" in frame && frame.type === type;
}

function isEnd(frame: unknown): boolean {
  return JSON.stringify(frame).includes('"node":null');
}

function fromLast(frames: readonly unknown[], type: string): readonly unknown[] {
  const first = frames.findIndex((frame) => isType(frame, type));
  return [...frames.slice(0, first), ...frames.slice(frames.findLastIndex((frame) => isType(frame, type)))];
}

function withoutRepeats(frames: readonly unknown[]): readonly unknown[] {
  const texts = frames.map((frame) => JSON.stringify(frame));
  return frames.filter((frame, at) => !isType(frame, "status") || texts[at] !== texts[at - 1]);
}
