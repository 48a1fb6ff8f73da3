import { resultText, type SourceHashes } from "@comfyq/contract";
import type { Outcome } from "@comfyq/queue";
import { sha256Hex } from "@comfyq/runtime";
import { modelWishesOf } from "../models/modelWish.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";

/** Ends an attempt before anything is rendered: an identical job has the result, or is rendering it. */
export class SharedResult extends Error {
  override readonly name = "SharedResult";
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super("An identical job has the result, or is rendering it");
    this.outcome = outcome;
  }
}

/**
 * Asks, once the bytes of all inputs and models are known, whether somebody else's render can be shared. Goes on when not, and
 * for jobs that have nothing to do with the cache.
 * @throws SharedResult
 */
export async function shareResult(run: AttemptRun, hashes: SourceHashes, { config }: Tools): Promise<void> {
  const { cache, request, head } = run.job;
  if (!cache) return;
  const models = modelWishesOf(request.files, config).map(({ label }, at) => [label, run.models[at]?.content] as const);
  // Of an operator's file that nobody has hashed only its size is known, which does not make it the same everywhere.
  if (!models.every((model): model is [string, string] => /^[0-9a-f]{64}$/.test(model[1] ?? ""))) return;
  const files = { ...hashes.files, ...Object.fromEntries(models) };
  const berth = await cache.board(sha256Hex(resultText({ ...request, output: head.output }, { ...hashes, files })));
  if (berth.kind === "hit" || berth.kind === "follow") throw new SharedResult({ kind: "shared", berth });
}
