import {
  type InputSource,
  type JobSecrets,
  MODEL_DESTINATION,
  type ModelPlace,
  parseModelPlace,
} from "@comfyq/contract";
import { modelRules } from "@comfyq/runtime";
import type { WorkerConfig } from "../config.ts";
import { JobError } from "../jobError.ts";

/** A model that a job brings. */
export interface ModelWish {
  /** As the customer wrote it: `/models/loras/fox.safetensors`. */
  readonly label: string;
  readonly place: ModelPlace;
  /** With `sha256` its content must be just that; without, it is whatever its source sends. */
  readonly source: InputSource;
}

/** On whose behalf a model is placed. */
export interface ModelCaller {
  readonly tenant: string;
  readonly signal: AbortSignal;
  /** Of the job: what its sources may name as credentials. */
  readonly secrets: () => JobSecrets;
  /** @param totalBytes undefined when the source does not say */
  readonly onProgress: (writtenBytes: number, totalBytes: number | undefined) => void;
}

type Files = Readonly<Record<string, InputSource>>;

/** The models among a job's `files`. @throws JobError `model_rejected` for a place that this worker may not write to */
export function modelWishesOf(files: Files, config: WorkerConfig): readonly ModelWish[] {
  return Object.entries(files)
    .filter(([label]) => isModel(label))
    .map(([label, source]) => {
      const { place, fault } = parseModelPlace(label, modelRules(config));
      if (!place) throw new JobError("model_rejected", `Model ${label} was not installed: ${fault}`);
      return { label, place, source };
    });
}

/** Is this destination a model's, and no input's? */
export function isModel(destination: string): boolean {
  return destination.startsWith(MODEL_DESTINATION);
}
