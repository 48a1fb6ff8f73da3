import type { DoctorCheck, DoctorReport } from "@comfyq/contract";
import type { RedisFacts } from "@comfyq/queue";
import { nowMs } from "@comfyq/runtime";
import { isLoopbackHost } from "../auth/loopback.ts";
import type { Rooms } from "../rooms.ts";
import { fail, messageOf, ok, warn } from "./check.ts";
import { examinePools } from "./examinePools.ts";
import { examineEndpoints, examineSchedules } from "./examineTelling.ts";
import { workerCheck } from "./workerCheck.ts";

const OLDEST_REDIS = [6, 2];
/** Between the clocks of Redis and this process: beyond it, delays and deadlines are off by as much. */
const SKEW_WARN_MS = 1_000;
const SKEW_FAIL_MS = 10_000;

/** Poison is looked for among the jobs of the last day. */
const POISON_WITHIN_MS = 24 * 3_600_000;
const POISON_SHOWN = 100;

/**
 * Looks at everything a job needs, and says what to do about what is not as it should be. Never throws.
 * @param tenant whose jobs are looked at
 */
export async function examine(rooms: Rooms, tenant: string): Promise<DoctorReport> {
  const groups = await Promise.all([
    examineRedis(rooms),
    examineStorage(rooms),
    examineFleet(rooms),
    examinePools(rooms),
    examinePoison(rooms, tenant),
    examineEndpoints(rooms, tenant),
    examineSchedules(rooms, tenant),
  ]);
  const checks = [...groups.flat(), examineKeys(rooms)];
  return { ok: checks.every(({ state }) => state !== "fail"), checks };
}

async function examineRedis({ producer }: Rooms): Promise<readonly DoctorCheck[]> {
  try {
    const facts = await producer.facts();
    return [versionCheck(facts), ...safetyChecks(facts), clockCheck(facts)];
  } catch (error) {
    return [fail("redis", messageOf(error), "start Redis, or correct REDIS_URL")];
  }
}

function versionCheck({ version }: RedisFacts): DoctorCheck {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldMajor = 0, oldMinor = 0] = OLDEST_REDIS;
  const isNewEnough = major > oldMajor || (major === oldMajor && minor >= oldMinor);
  const found = `Redis ${version}`;
  return isNewEnough ? ok("redis version", found) : fail("redis version", found, "use Redis 6.2 or newer, or Valkey");
}

function safetyChecks({ appendOnly, maxmemoryPolicy }: RedisFacts): readonly DoctorCheck[] {
  return [
    appendOnly
      ? ok("redis persistence", "append-only file is on")
      : fail(
          "redis persistence",
          "append-only file is off: a crash loses jobs",
          "CONFIG SET appendonly yes, and in redis.conf",
        ),
    maxmemoryPolicy === "noeviction"
      ? ok("redis eviction", maxmemoryPolicy)
      : fail("redis eviction", `${maxmemoryPolicy}: jobs may be dropped`, "CONFIG SET maxmemory-policy noeviction"),
  ];
}

function clockCheck({ clockSkewMs }: RedisFacts): DoctorCheck {
  const skewMs = Math.round(Math.abs(clockSkewMs));
  const found = `Redis and the API are ${skewMs} ms apart`;
  const advice = "set the clocks of both machines by NTP";
  if (skewMs > SKEW_FAIL_MS) return fail("clock", found, advice);
  return skewMs > SKEW_WARN_MS ? warn("clock", found, advice) : ok("clock", found);
}

async function examineStorage({ storage }: Rooms): Promise<readonly DoctorCheck[]> {
  try {
    await storage.check();
    return [ok("storage", `${storage.place} keeps what is written`)];
  } catch (error) {
    return [fail("storage", messageOf(error), "correct the S3 settings, or the rights of the data folder")];
  }
}

async function examineFleet({ producer }: Rooms): Promise<readonly DoctorCheck[]> {
  try {
    const workers = await producer.workers();
    if (workers.length > 0) return workers.map(workerCheck);
    return [fail("workers", "none is alive: jobs wait", "start a worker with COMFYUI_URL set to your ComfyUI")];
  } catch (error) {
    return [fail("workers", messageOf(error), "look at Redis first")];
  }
}

/** Looks at the newest thousand jobs of the day at most: more would keep who asked waiting. */
async function examinePoison({ producer }: Rooms, tenant: string): Promise<readonly DoctorCheck[]> {
  const createdAfterMs = nowMs() - POISON_WITHIN_MS;
  try {
    const { jobs } = await producer.list({
      tenant,
      status: "failed",
      code: "poison",
      createdAfterMs,
      limit: POISON_SHOWN,
    });
    if (jobs.length === 0) return [ok("poison", "no job of the last day killed its worker or its ComfyUI")];
    const found = `${jobs.length === POISON_SHOWN ? "at least " : ""}${jobs.length} jobs of the last day killed their worker or their ComfyUI twice`;
    return [warn("poison", found, "see them: comfyq jobs --status failed --code poison")];
  } catch (error) {
    return [fail("poison", messageOf(error), "look at Redis first")];
  }
}

function examineKeys({ keys, settings }: Rooms): DoctorCheck {
  const usable = keys.countUsable();
  if (usable > 0) return ok("api keys", `${usable} can be used`);
  return isLoopbackHost(settings.COMFYQ_HOST) && !keys.isRequired()
    ? ok("api keys", "none, and none needed: only this machine can reach the API")
    : fail("api keys", "none can be used: every call is refused", "make one with comfyq keys");
}
