import { isTerminal, type JobStatus } from "@comfyq/contract";
import { nowMs } from "./clock.ts";
import { namedScript, runNamed } from "./luaScript.ts";
import { LEAVE_OPEN, leavingOpen } from "./openJobs.ts";
import type { Outcome } from "./outcome.ts";
import type { QueueRoom } from "./room.ts";
import { WAKE_LINE } from "./seats.ts";

/**
 * What is learned from an attempt that was let go, in one step: how long jobs of its shape take, how fast jobs end here and for
 * this tenant, what it used of their GPU time of the day, and that an ended job is not open any more. All but the last are
 * means and sums that a crash just before may lack one term of.
 */
const NOTE_END = namedScript(
  {
    keys: [
      "record",
      "retention",
      "spans",
      "pace",
      "open",
      "ended",
      "usage",
      "seats",
      "line",
      "delayed",
      "wait",
      "marker",
    ],
    values: [
      "id",
      "retentionAtMs",
      "renderMs",
      "totalMs",
      "weight",
      "shapesKept",
      "paceMs",
      "gpuMs",
      "bullPrefix",
      "status",
      "shownAtMs",
      "endedKept",
      "notices",
      "notice",
    ],
  },
  `${WAKE_LINE}${LEAVE_OPEN}
local call = redis.call
local t = call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function whole(number) return string.format("%.0f", number) end

local function count(key)
  local known = call("HMGET", key, "ends", "at", "since")
  local ends = 1
  if known[1] then ends = 1 + known[1] * math.exp((known[2] - now) / paceMs) end
  call("HSET", key, "ends", ends, "at", whole(now), "since", known[3] or whole(now))
end

local function fold(shape)
  local text = call("HGET", spansKey, shape)
  local render, total = tonumber(renderMs), tonumber(totalMs)
  if text then
    local oldRender, oldTotal = string.match(text, "(%S+) (%S+)")
    render = oldRender * (1 - weight) + render * weight
    total = oldTotal * (1 - weight) + total * weight
  elseif call("HLEN", spansKey) > tonumber(shapesKept) then
    local gone = call("HRANDFIELD", spansKey)
    if gone ~= "*" then call("HDEL", spansKey, gone) end
  end
  call("HSET", spansKey, shape, whole(render) .. " " .. whole(total))
end

if tonumber(gpuMs) > 0 then
  local day = math.floor(now / 86400000)
  call("HINCRBY", usageKey, "gpu_ms:" .. day, gpuMs)
  call("HDEL", usageKey, "gpu_ms:" .. day - 1, "gpu_ms:" .. day - 2)
end
if renderMs ~= "" then
  fold("*")
  local shape = call("HGET", recordKey, "shape")
  if shape then fold(shape) end
end
if retentionAtMs ~= "" then
  call("ZADD", retentionKey, retentionAtMs, id)
  leaveOpen()
  count(paceKey)
  call("HINCRBY", paceKey, "ended:" .. status, 1)
  count(usageKey)
end
call("EXPIRE", usageKey, 172800)
if call("HDEL", seatsKey, id) == 1 then wakeLine(1) end
return 1
`,
);

interface EndedAttempt {
  readonly jobId: string;
  readonly tenant: string;
  readonly pool: string;
  readonly outcome: Outcome;
  /** Of the job, now. */
  readonly status: JobStatus;
  /** How long ComfyUI had its prompt. */
  readonly gpuMs: number;
}

/** Called once per attempt that was let go; again it would be counted again. */
export async function noteEnd(room: QueueRoom, { jobId, tenant, pool, ...attempt }: EndedAttempt): Promise<void> {
  const { names, settings } = room;
  const { outcome, status, gpuMs } = attempt;
  const bullPrefix = names.bull(names.jobsQueue(pool), "");
  const leaving = leavingOpen(room, { tenant, jobId, isShown: true });
  const times = outcome.kind === "succeeded" && !outcome.manifest.cached ? outcome.manifest.metrics : undefined;
  await runNamed(room.redis, NOTE_END, {
    keys: {
      ...leaving.keys,
      record: names.record(jobId),
      retention: names.retention,
      spans: names.spans(pool),
      pace: names.pace(pool),
      usage: names.usage(tenant),
      seats: names.seats(tenant),
      line: names.line(tenant, pool),
      delayed: `${bullPrefix}delayed`,
      wait: `${bullPrefix}wait`,
      marker: `${bullPrefix}marker`,
    },
    values: {
      ...leaving.values,
      retentionAtMs: isTerminal(status) ? nowMs() + room.retentionMs : "",
      renderMs: times?.render_ms ?? "",
      totalMs: times ? times.prepare_ms + times.render_ms + times.store_ms : "",
      weight: settings.meanWeight,
      shapesKept: settings.shapesKept,
      paceMs: settings.paceMs,
      gpuMs: Math.round(gpuMs),
      bullPrefix,
      status,
    },
  });
}
