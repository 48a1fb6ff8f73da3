import { type EndSeen, endsSeen, type Facts } from "./facts.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";

/**
 * I6. Succeeded implies stored. A job that anybody called succeeded has a manifest, everything the manifest lists is in
 * the store, and all of it had been stored before the first of them said so.
 */
export function checkI06(facts: Facts): Finding {
  return sum(
    facts.accepted.map(({ job }) => {
      const succeeded = endsSeen(facts, job).find(({ status }) => status === "succeeded");
      return succeeded ? judged(...missing(facts, job, succeeded)) : { judged: 0, breaches: [] };
    }),
  );
}

function missing(facts: Facts, job: string, { line: said }: EndSeen): readonly Breach[] {
  const [manifest] = facts.about(job, "manifest");
  if (!manifest) return [{ why: "it succeeded and has no manifest", lines: [said] }];
  const [accepted] = facts.about(job, "accepted");
  const breaches = manifest.outputs.flatMap(({ key, size }): Breach[] => {
    const object = facts.about(job, "object").find((each) => each.key === key && each.size === size);
    if (!object) return [{ why: `it succeeded and ${key} is not in the store`, lines: [said, manifest] }];
    return object.storedAt > said.t ? [{ why: `${key} came after it had succeeded`, lines: [said, object] }] : [];
  });
  if (accepted && manifest.outputs.length < accepted.sizes.length)
    breaches.push({ why: "it succeeded with less than its workflow makes", lines: [accepted, manifest] });
  return breaches;
}
