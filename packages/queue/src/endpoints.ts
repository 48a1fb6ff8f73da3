import { WEBHOOK_LIMITS } from "@comfyq/contract";
import { nowMs } from "./clock.ts";
import { EndpointFacts } from "./endpointFacts.ts";
import { noteAccepted } from "./endpointFailures.ts";
import { orUnavailable, QueueError } from "./errors.ts";
import { namedScript, runNamed } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/**
 * The endpoints of a tenant stand in one hash, each as a line that scripts can read (`enabled job.failed,job.succeeded`) and a
 * line of JSON. What all enabled ones want together stands in a set beside it, which a submission asks in its own script: so
 * an endpoint hears of every job that is queued after it was made, and of none before without a gap or an overlap.
 */
const SAVE = namedScript(
  { keys: ["endpoints", "wanted"], values: ["id", "was", "text", "most"] },
  `
local call = redis.call
if (call("HGET", endpointsKey, id) or "") ~= was then return "changed" end
if was == "" and call("HLEN", endpointsKey) >= tonumber(most) then return "full" end
if text == "" then call("HDEL", endpointsKey, id) else call("HSET", endpointsKey, id, text) end
call("DEL", wantedKey)
for _, other in ipairs(call("HVALS", endpointsKey)) do
  local events = string.match(other, "^enabled ([^\\n]*)\\n")
  for event in string.gmatch(events or "", "[^,]+") do call("SADD", wantedKey, event) end
end
return "saved"
`,
);

/** Two who change one endpoint at once take turns; nobody takes so many. */
const MOST_TURNS = 20;

/** All endpoints of a tenant, oldest first. */
export async function listEndpoints({ redis, names }: QueueRoom, tenant: string): Promise<readonly EndpointFacts[]> {
  const texts = await redis.hvals(names.endpoints(tenant));
  return texts.map(factsIn).sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
}

/** @returns undefined for an unknown id and for another tenant's alike */
export async function readEndpoint(room: QueueRoom, tenant: string, id: string): Promise<EndpointFacts | undefined> {
  const text = await room.redis.hget(room.names.endpoints(tenant), id);
  return text === null ? undefined : factsIn(text);
}

/** @throws QueueError `conflict` when the tenant has as many as it may */
export async function addEndpoint(room: QueueRoom, tenant: string, facts: EndpointFacts): Promise<void> {
  const answer = await save(room, tenant, { id: facts.id, was: "", text: textOf(facts) });
  if (answer === "full")
    throw new QueueError(
      "conflict",
      `There are ${WEBHOOK_LIMITS.endpoints} endpoints already, as many as there may be; delete one first`,
    );
}

/**
 * Changes an endpoint; when somebody else changes it at the same moment, once more from what it has become.
 * @param change what it is to be; undefined removes it
 * @returns what it was before, or undefined when there is none of that id
 * @throws QueueError `unavailable`; what `change` throws
 */
export async function changeEndpoint(
  room: QueueRoom,
  { tenant, id }: { readonly tenant: string; readonly id: string },
  change: (facts: EndpointFacts) => EndpointFacts | undefined,
): Promise<{ readonly before: EndpointFacts; readonly now: EndpointFacts | undefined } | undefined> {
  for (let turn = 0; turn < MOST_TURNS; turn += 1) {
    const was = await orUnavailable("an endpoint was read", room.redis.hget(room.names.endpoints(tenant), id));
    if (was === null) return undefined;
    const before = factsIn(was);
    const changed = change(before);
    const now = changed && { ...changed, updatedAtMs: nowMs() };
    if ((await save(room, tenant, { id, was, text: now ? textOf(now) : "" })) === "saved") return { before, now };
  }
  throw new QueueError("unavailable", `Endpoint ${id} is being changed by many at once; try again in a moment`);
}

/**
 * Sends an endpoint nothing more until its tenant enables it again. Safe to repeat: the first reason stays.
 * @param reason is shown to the tenant: what happened, and what to do
 * @returns false when it was disabled already, or is gone
 */
export async function disableEndpoint(room: QueueRoom, tenant: string, id: string, reason: string): Promise<boolean> {
  const changed = await changeEndpoint(room, { tenant, id }, (facts) =>
    facts.status === "disabled"
      ? facts
      : { ...facts, status: "disabled", disabledReason: reason, disabledAtMs: nowMs() },
  );
  return changed?.before.status === "enabled";
}

/** Sends to an endpoint again; what it did not accept before is forgotten. @returns undefined when there is none of that id */
export async function enableEndpoint(
  room: QueueRoom,
  { tenant, id }: { readonly tenant: string; readonly id: string },
): Promise<EndpointFacts | undefined> {
  const enabled = { status: "enabled", disabledReason: null, disabledAtMs: null } as const;
  const changed = await changeEndpoint(room, { tenant, id }, (facts) => ({ ...facts, ...enabled }));
  if (changed) await orUnavailable("an endpoint was enabled", noteAccepted(room, id));
  return changed?.now;
}

interface Line {
  readonly id: string;
  /** Empty: there is none. */
  readonly was: string;
  /** Empty: there will be none. */
  readonly text: string;
}

async function save({ redis, names }: QueueRoom, tenant: string, line: Line): Promise<unknown> {
  const keys = { endpoints: names.endpoints(tenant), wanted: names.wanted(tenant) };
  const values = { ...line, most: WEBHOOK_LIMITS.endpoints };
  return orUnavailable("an endpoint was changed", runNamed(redis, SAVE, { keys, values }));
}

function textOf(facts: EndpointFacts): string {
  return `${facts.status} ${facts.events.join(",")}\n${JSON.stringify(facts)}`;
}

function factsIn(text: string): EndpointFacts {
  return EndpointFacts.parse(JSON.parse(text.slice(text.indexOf("\n") + 1)));
}
