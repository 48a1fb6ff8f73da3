import { monotonicMs } from "@comfyq/runtime";
import { orAborted } from "../orAborted.ts";
import { createShelf } from "./shelf.ts";
import { type InputWish, type Staged, type StageTools, type Staging, stageInput } from "./stageInput.ts";

/** For so long the answer of a source counts for the job that asked: a source may change. */
const FRESH_FOR_MS = 600_000;

/** What this worker brings onto its instance for jobs, and knows to be there. */
export interface Inputs {
  /**
   * Brings one input onto the instance, unless it is there. What was staged for the same job before, or is being staged, is
   * not fetched again.
   * @returns what it is, and its name as the graph has to say it
   * @throws as `stageInput`; the signal's reason
   */
  stage(wish: InputWish, staging: Staging): Promise<Staged>;
  /** The job is over, or another worker's: what its sources held is forgotten. */
  forgetJob(jobId: string): void;
  /** ComfyUI says that it lacks these files. @returns true when it should have had one of them from us */
  forgetFiles(names: readonly string[]): boolean;
  /** The instance was away: what it has now has to be asked again. */
  forgetAll(): void;
}

interface Note {
  readonly staged: Promise<Staged>;
  readonly atMs: number;
}

/** Remembers by job and source, never by source alone: what one tenant may read is nobody else's. */
export function createInputs(tools: StageTools): Inputs {
  const shelf = createShelf(tools.comfyui);
  const jobs = new Map<string, Map<string, Note>>();
  const notesOf = (jobId: string) => {
    const notes = jobs.get(jobId) ?? new Map<string, Note>();
    jobs.set(jobId, notes);
    return notes;
  };
  return {
    stage: async (wish, staging) => {
      const notes = notesOf(staging.jobId);
      const key = JSON.stringify(wish.source);
      const before = notes.get(key);
      const isFresh = before && monotonicMs() - before.atMs < FRESH_FOR_MS;
      // Whoever fetched it may have been stopped, or met a trouble that has passed: its failure is not ours.
      const staged = isFresh
        ? await orAborted(
            before.staged.catch(() => undefined),
            staging.signal,
          )
        : undefined;
      const known = staged && shelf.nameOf(staged.content);
      if (staged && known !== undefined) return { content: staged.content, name: known };
      const note: Note = { staged: stageInput(wish, staging, { ...tools, shelf }), atMs: monotonicMs() };
      note.staged.catch(() => {}); // told below
      notes.set(key, note);
      return note.staged;
    },
    forgetJob: (jobId) => void jobs.delete(jobId),
    forgetFiles: (names) => names.filter((name) => shelf.forget(name)).length > 0,
    forgetAll: () => shelf.forgetAll(),
  };
}
