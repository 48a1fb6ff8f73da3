import type { ScheduleRule } from "@comfyq/contract";
import { SCHEDULE_LIMITS } from "@comfyq/contract";
import { assetMember } from "../assetUses.ts";
import { orUnavailable, QueueError } from "../errors.ts";
import { namedScript, runNamed } from "../luaScript.ts";
import type { QueueRoom } from "../room.ts";
import { ringSchedule } from "./alarms.ts";
import { type ScheduleRef, scheduleMember } from "./scheduleState.ts";

/** A schedule that was checked. */
export interface SchedulePapers extends ScheduleRef {
  /** Its id, if there is none of this name yet. */
  readonly freshId: string;
  readonly rule: ScheduleRule;
  readonly template: Readonly<Record<string, unknown>>;
  readonly sealedSecrets: string | undefined;
  /** Of the webhook of its jobs. */
  readonly sealedHeaders: string | undefined;
  /** Tells a repeat from a change. */
  readonly bodySha256: string;
  /** Ids of the assets that its jobs will name: kept for as long as it is. */
  readonly assets: readonly string[];
}

/**
 * Writes a schedule, and has the dispatcher look at it at once. A body that is there already changes nothing. When its moments
 * change, those of before are over with; its history and its count go on.
 */
const PUT = namedScript(
  {
    keys: ["schedule", "names", "due", "assets", "assetJobs"],
    values: ["freshId", "name", "member", "rule", "moments", "template", "secrets", "headers", "bodySha256", "most"],
  },
  `
local call = redis.call
local t = call("TIME")
local now = string.format("%.0f", t[1] * 1000 + math.floor(t[2] / 1000))
local old = call("HMGET", scheduleKey, "id", "body_sha256", "moments", "assets")
if old[1] and old[2] == bodySha256 then return {"same"} end
if not old[1] and call("ZCARD", namesKey) >= tonumber(most) then return {"full"} end
local wanted = {}
for i = FIRST_VALUE, #ARGV do
  if not call("ZSCORE", assetsKey, ARGV[i]) then return {"missing", ARGV[i]} end
  wanted[#wanted + 1] = ARGV[i]
end
for _, asset in ipairs(wanted) do call("HINCRBY", assetJobsKey, asset, 1) end
for asset in string.gmatch(old[4] or "", "%S+") do
  if call("HINCRBY", assetJobsKey, asset, -1) <= 0 then call("HDEL", assetJobsKey, asset) end
  call("ZADD", assetsKey, now, asset)
end
if not old[1] then
  call("HSET", scheduleKey, "id", freshId, "created_at_ms", now, "fired", 0)
  call("ZADD", namesKey, 0, name)
end
if old[3] ~= moments then call("HSET", scheduleKey, "cursor_ms", now) end
call("HSET", scheduleKey, "rule", rule, "moments", moments, "template", template, "secrets", secrets, "headers", headers,
  "body_sha256", bodySha256, "assets", table.concat(wanted, " "), "updated_at_ms", now, "failures", 0)
call("HINCRBY", scheduleKey, "version", 1)
call("ZADD", dueKey, now, member)
return {old[1] and "changed" or "new"}
`,
);

/**
 * Makes a schedule, or changes it. Safe to repeat.
 * @returns `same`: it was so already
 * @throws QueueError `too_many` | `missing_asset` | `unavailable`
 */
export async function putSchedule(room: QueueRoom, papers: SchedulePapers): Promise<"new" | "changed" | "same"> {
  const { names } = room;
  const { tenant, name, rule } = papers;
  const { cron, every_s, time_zone, start_at, end_at, limit } = rule;
  const answer = await orUnavailable(
    "a schedule was written",
    runNamed(room.redis, PUT, {
      keys: {
        schedule: names.schedule(tenant, name),
        names: names.scheduleNames(tenant),
        due: names.schedulesDue,
        assets: names.assets,
        assetJobs: names.assetJobs,
      },
      values: {
        freshId: papers.freshId,
        name,
        member: scheduleMember(papers),
        rule: JSON.stringify(rule),
        moments: JSON.stringify([cron, every_s, time_zone, start_at, end_at, limit]),
        template: JSON.stringify(papers.template),
        secrets: papers.sealedSecrets ?? "",
        headers: papers.sealedHeaders ?? "",
        bodySha256: papers.bodySha256,
        most: SCHEDULE_LIMITS.count,
      },
      moreValues: papers.assets.map((id) => assetMember(tenant, id)),
    }),
  );
  const [kind, asset]: readonly unknown[] = Array.isArray(answer) ? answer : [];
  if (kind === "full")
    throw new QueueError(
      "too_many",
      `There are ${SCHEDULE_LIMITS.count} schedules already; delete one that is not needed`,
    );
  if (kind === "missing") {
    const id = String(asset).slice(tenant.length + 1);
    throw new QueueError("missing_asset", `There is no asset ${id} any more; upload it again with POST /v1/assets`);
  }
  if (kind !== "same") await orUnavailable("a schedule was written", ringSchedule(room, papers));
  return kind === "same" || kind === "changed" ? kind : "new";
}
