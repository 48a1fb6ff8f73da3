import type { LineOf } from "../history.ts";
import type { Facts } from "./facts.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";

/**
 * I5. No mixing. Every file a manifest lists was stored by that very attempt of that very job, under its own prefix, and
 * is in the store with those bytes. A job's files have the sizes its workflow makes; in these runs no two workflows make
 * the same, so a file of another job gives itself away.
 */
export function checkI05(facts: Facts): Finding {
  return sum(facts.of("manifest").map((manifest) => judgeManifest(facts, manifest)));
}

function judgeManifest(facts: Facts, manifest: LineOf<"manifest">): Finding {
  return judged(...manifest.outputs.map((output) => strange(facts, manifest, output)), otherSizes(facts, manifest));
}

type Stored = LineOf<"manifest">["outputs"][number];

function strange(facts: Facts, manifest: LineOf<"manifest">, output: Stored): Breach | undefined {
  const { job, epoch } = manifest;
  if (!output.key.startsWith(`jobs/${job}/${epoch}/`))
    return { why: `it lists ${output.key}, which is not its own`, lines: [manifest] };
  const stored = facts.about(job, "output_stored").filter((line) => line.epoch === epoch && isSame(line, output));
  if (stored.length === 0) return { why: `that attempt never stored ${output.key}`, lines: [manifest] };
  const objects = facts.about(job, "object").filter(({ key }) => key === output.key);
  const other = objects.find((object) => !isSame(object, output));
  return other && { why: `the store has other bytes under ${output.key}`, lines: [manifest, other] };
}

function isSame(one: Stored, other: Stored): boolean {
  return one.key === other.key && one.sha256 === other.sha256 && one.size === other.size;
}

function otherSizes(facts: Facts, manifest: LineOf<"manifest">): Breach | undefined {
  const accepted = facts.about(manifest.job, "accepted")[0];
  if (!accepted) return undefined;
  const sizes = manifest.outputs.map(({ size }) => size).toSorted((a, b) => a - b);
  const isRight = sizes.length === accepted.sizes.length && sizes.every((size, at) => size === accepted.sizes[at]);
  const why = `its files have ${sizes.join(", ") || "no"} bytes, and should have ${accepted.sizes.join(", ") || "none"}`;
  return isRight ? undefined : { why, lines: [accepted, manifest] };
}
