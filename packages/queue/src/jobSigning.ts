import { nowMs } from "./clock.ts";
import { QueueError } from "./errors.ts";
import { namedScript, runNamed } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/** Replaced secrets that may still sign, beside the newest. */
export const MOST_OLD_SECRETS = 4;

/**
 * What a tenant's webhooks of jobs are signed with: secrets that are derived from a master, the tenant and a number. Only the
 * numbers are kept.
 */
export interface JobSigning {
  /** Of the newest; 0 until it was replaced for the first time. */
  readonly number: number;
  /** Those before that still sign, newest first. */
  readonly old: readonly { readonly number: number; readonly untilMs: number }[];
}

const ROTATE = namedScript(
  { keys: ["signing"], values: ["nowMs", "untilMs", "most"] },
  `
local call = redis.call
nowMs, untilMs = tonumber(nowMs), tonumber(untilMs)
local number = tonumber(call("HGET", signingKey, "number") or "0")
local fields = call("HGETALL", signingKey)
local live = 0
for i = 1, #fields, 2 do
  if fields[i] ~= "number" and math.min(tonumber(fields[i + 1]), untilMs) > nowMs then live = live + 1 end
end
if live >= tonumber(most) then return "full" end
for i = 1, #fields, 2 do
  if fields[i] ~= "number" then
    if math.min(tonumber(fields[i + 1]), untilMs) <= nowMs then call("HDEL", signingKey, fields[i])
    elseif tonumber(fields[i + 1]) > untilMs then call("HSET", signingKey, fields[i], untilMs) end
  end
end
if untilMs > nowMs then call("HSET", signingKey, number, untilMs) end
call("HSET", signingKey, "number", number + 1)
return "rotated"
`,
);

export async function readJobSigning({ redis, names }: QueueRoom, tenant: string): Promise<JobSigning> {
  const { number = "0", ...old } = await redis.hgetall(names.signing(tenant));
  const kept = Object.entries(old).map(([name, untilMs]) => ({ number: Number(name), untilMs: Number(untilMs) }));
  return {
    number: Number(number),
    old: kept.filter(({ untilMs }) => untilMs > nowMs()).sort((a, b) => b.number - a.number),
  };
}

/**
 * Replaces the newest secret. Those before go on signing for `overlapMs` at most: with 0 none does.
 * @throws QueueError `conflict` when too many sign already
 */
export async function rotateJobSigning(room: QueueRoom, tenant: string, overlapMs: number): Promise<JobSigning> {
  const at = nowMs();
  const answer = await runNamed(room.redis, ROTATE, {
    keys: { signing: room.names.signing(tenant) },
    values: { nowMs: at, untilMs: at + overlapMs, most: MOST_OLD_SECRETS },
  });
  if (answer === "full") throw tooManySecrets();
  return readJobSigning(room, tenant);
}

export function tooManySecrets(): QueueError {
  return new QueueError(
    "conflict",
    `${MOST_OLD_SECRETS} old secrets still sign; wait until one has run out, or send overlap_s: 0 to end them all`,
  );
}
