import { COMFYQ_NAMESPACE, uuidV5 } from "@comfyq/contract";
import type { LineOf } from "../history.ts";
import type { Facts } from "./facts.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";

/**
 * I3. One event id per job and type of event: the uuid-v5 of both, so that whoever makes it makes the same one. The same
 * bytes under it on every delivery, with a signature that verifies. A job whose customer asked for a webhook and that has
 * ended was told: at least one delivery of its end was accepted.
 */
export function checkI03(facts: Facts): Finding {
  return sum(
    facts.accepted
      .filter(({ webhook }) => webhook)
      .map((accepted) => {
        const received = facts.about(accepted.job, "received");
        return judged(
          untold(facts, accepted, received),
          ...received.map(wrongId),
          ...otherBytes(received),
          forged(received),
        );
      }),
  );
}

function untold(
  facts: Facts,
  accepted: LineOf<"accepted">,
  received: readonly LineOf<"received">[],
): Breach | undefined {
  const end = facts.about(accepted.job, "observed").at(-1);
  if (!end || !["succeeded", "failed", "canceled", "expired"].includes(end.status)) return undefined; // I1's business
  const told = received.some(({ type, status }) => type === `job.${end.status}` && status >= 200 && status < 300);
  return told ? undefined : { why: `nobody was told that it ${end.status}`, lines: [accepted, end, ...received] };
}

function wrongId(line: LineOf<"received">): Breach | undefined {
  const expected = uuidV5(`${line.job}:${line.type}`, COMFYQ_NAMESPACE);
  return line.event === expected ? undefined : { why: `its event should have the id ${expected}`, lines: [line] };
}

function otherBytes(received: readonly LineOf<"received">[]): readonly (Breach | undefined)[] {
  return [...Map.groupBy(received, ({ event }) => event).values()].map((lines) => {
    const other = lines.find(({ bodySha }) => bodySha !== lines[0]?.bodySha);
    return other && { why: "one event was sent with different bytes", lines };
  });
}

function forged(received: readonly LineOf<"received">[]): Breach | undefined {
  const lines = received.filter(({ genuine }) => !genuine);
  return lines.length === 0 ? undefined : { why: "a signature does not verify", lines };
}
