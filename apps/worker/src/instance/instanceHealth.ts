import { type JobFailure, policyOf } from "@comfyq/contract";

/** Prompts of ours at the instance that this worker does not hold. */
export type Leftovers =
  /** Nobody has looked since it last was away. */
  | { readonly kind: "unknown" }
  | { readonly kind: "none" }
  /** Their jobs wait: they are claimed before all others, and their prompts rejoined. */
  | { readonly kind: "rejoin"; readonly jobIds: readonly string[] }
  /** `sharedWith`: the older worker that drives the same ComfyUI under another address. */
  | { readonly kind: "in_the_way"; readonly reason: string; readonly sharedWith?: string };

interface Quarantine {
  readonly reason: string;
  /** Canaries that failed since it began. */
  readonly canaries: number;
  readonly wasRestarted: boolean;
  readonly nextCanaryAtMs: number;
}

/** What is known of one instance. Every part is decided by itself; it is well when none speaks against it. */
export interface Health {
  readonly hasAnswered: boolean;
  /** Why it cannot be reached, or asked what it is. */
  readonly away: string | undefined;
  /** Since when; undefined when it is there. */
  readonly awaySinceMs: number | undefined;
  /** Who drives it: one worker per ComfyUI. */
  readonly driver: { readonly kind: "unasked" | "us" } | { readonly kind: "other"; readonly holder: string };
  readonly leftovers: Leftovers;
  /** Failures in a row that the instance is to blame for. */
  readonly sickInRow: number;
  readonly quarantine: Quarantine | undefined;
  readonly restartedAtMs: number | undefined;
}

export type HealthEvent =
  /** It answers, and was asked what it is. */
  | { readonly kind: "answered" }
  | { readonly kind: "away"; readonly reason: string }
  | { readonly kind: "driven"; readonly by: "us" | { readonly holder: string } }
  | { readonly kind: "looked"; readonly leftovers: Leftovers }
  /** A prompt of ours may have been left behind: somebody has to look. */
  | { readonly kind: "look_again" }
  /** A prompt was rendered to its end. */
  | { readonly kind: "rendered" }
  | { readonly kind: "failed"; readonly failure: JobFailure }
  | { readonly kind: "canary_passed" }
  | { readonly kind: "canary_failed"; readonly reason: string }
  | { readonly kind: "restarted" };

/** What the rules are for this worker, and when it is. */
export interface Circumstances {
  /** Monotonic. */
  readonly nowMs: number;
  readonly quarantineAfter: number;
  /** Of the waits between canaries; 1 but in tests. */
  readonly timeScale: number;
}

export const NEW_INSTANCE: Health = {
  hasAnswered: false,
  away: "ComfyUI has not answered yet",
  awaySinceMs: undefined,
  driver: { kind: "unasked" },
  leftovers: { kind: "unknown" },
  sickInRow: 0,
  quarantine: undefined,
  restartedAtMs: undefined,
};

const FIRST_CANARY_WAIT_MS = 5_000;
const LONGEST_CANARY_WAIT_MS = 60_000;
/** A restart this shortly before a quarantine was meant for the same trouble. */
const RESTART_LASTS_MS = 60_000;
/** Whoever runs ComfyUI has this long to bring it back before the restart command does; also between two restarts. */
const AWAY_PATIENCE_MS = 60_000;

/** Pure: what is known after an event. */
export function applyHealthEvent(health: Health, event: HealthEvent, now: Circumstances): Health {
  switch (event.kind) {
    case "answered":
      return { ...health, hasAnswered: true, away: undefined, awaySinceMs: undefined, leftovers: afterAbsence(health) };
    case "away":
      return { ...health, ...isAway(health, event.reason, now) };
    case "driven": {
      if (event.by !== "us") return { ...health, driver: { kind: "other", holder: event.by.holder } };
      const leftovers = health.driver.kind === "us" ? health.leftovers : UNKNOWN;
      return { ...health, driver: { kind: "us" }, leftovers };
    }
    case "looked":
      return { ...health, leftovers: event.leftovers };
    case "look_again":
      return { ...health, leftovers: UNKNOWN };
    case "rendered":
      return { ...health, sickInRow: 0 };
    case "failed":
      return afterFailure(health, event.failure, now);
    case "canary_passed":
      return { ...health, sickInRow: 0, quarantine: undefined };
    case "canary_failed":
      return { ...health, quarantine: afterCanary(health, event.reason, now) };
    case "restarted": {
      const quarantine = health.quarantine && { ...health.quarantine, wasRestarted: true, nextCanaryAtMs: now.nowMs };
      const away = { away: "ComfyUI was restarted", awaySinceMs: now.nowMs };
      return { ...health, ...away, restartedAtMs: now.nowMs, quarantine };
    }
  }
}

const UNKNOWN: Leftovers = { kind: "unknown" };

/** What it runs may have changed while it was away. */
function afterAbsence({ away, leftovers }: Health): Leftovers {
  return away === undefined ? leftovers : UNKNOWN;
}

/** After these it is asked again before anything is claimed for it. */
const TAKE_AWAY: readonly JobFailure["code"][] = ["comfyui_unreachable", "prompt_lost", "worker_unfit"];

function afterFailure(health: Health, { code, message }: JobFailure, now: Circumstances): Health {
  // Forgotten prompts mean a restart: what it knows has to be asked again, as after an absence.
  const away = TAKE_AWAY.includes(code) ? isAway(health, message, now) : {};
  if (policyOf(code).sickens !== true) return { ...health, ...away };
  const sickInRow = health.sickInRow + 1;
  const next = { ...health, ...away, sickInRow };
  if (code === "comfyui_zombie") return { ...next, quarantine: afterCanary(next, message, now) };
  if (code === "instance_refuses") {
    const quarantine = { ...afterCanary(next, message, now), wasRestarted: true }; // a restart mends no account
    return { ...next, quarantine };
  }
  // A broken CUDA context breaks every render until the process is restarted: one is enough.
  const isEnough = code === "cuda_fault" || sickInRow >= now.quarantineAfter;
  if (health.quarantine || !isEnough) return next;
  const reason = `Its last ${sickInRow} renders failed by its own fault, the newest so: ${message}`;
  return { ...next, quarantine: { ...newQuarantine(next, now), reason } };
}

function isAway(health: Health, away: string, { nowMs }: Circumstances): Pick<Health, "away" | "awaySinceMs"> {
  return { away, awaySinceMs: health.awaySinceMs ?? nowMs };
}

function newQuarantine({ restartedAtMs }: Health, { nowMs, timeScale }: Circumstances): Omit<Quarantine, "reason"> {
  const wasRestarted = restartedAtMs !== undefined && nowMs - restartedAtMs < RESTART_LASTS_MS * timeScale;
  return { canaries: 0, wasRestarted, nextCanaryAtMs: nowMs };
}

function afterCanary(health: Health, reason: string, now: Circumstances): Quarantine {
  const before = health.quarantine ?? newQuarantine(health, now);
  const waitMs = Math.min(FIRST_CANARY_WAIT_MS * 2 ** before.canaries, LONGEST_CANARY_WAIT_MS) * now.timeScale;
  return { ...before, reason, canaries: before.canaries + 1, nextCanaryAtMs: now.nowMs + waitMs };
}

/** How an instance stands, for the loop, the fleet and a human. `starting`: it is being found out. */
export type Standing =
  | { readonly kind: "well" }
  | { readonly kind: "starting" | "unready" | "quarantined"; readonly reason: string };

/** Pure: may a job be claimed for it, and if not, why. The reason names what a human can do first. */
export function standingOf({ hasAnswered, away, driver, leftovers, quarantine }: Health): Standing {
  const kind = quarantine ? "quarantined" : "unready";
  if (driver.kind === "other") return { kind, reason: refusal(driver.holder) };
  if (away !== undefined) return { kind: hasAnswered ? kind : "starting", reason: away };
  if (quarantine) return { kind, reason: `${quarantine.reason}; it takes jobs again once a canary workflow has run` };
  if (driver.kind === "unasked") return { kind: "starting", reason: "Redis has not said whether others drive it" };
  if (leftovers.kind === "in_the_way") return { kind, reason: leftovers.reason };
  if (leftovers.kind === "unknown") return { kind: "starting", reason: "Looking for prompts that were left there" };
  return { kind: "well" };
}

/** Why jobs are not claimed; undefined when they are. */
export function reasonOf(standing: Standing): string | undefined {
  return standing.kind === "well" ? undefined : standing.reason;
}

function refusal(holder: string): string {
  const advice = "stop one of the two, or set COMFYQ_INSTANCE_ID if they are different ComfyUIs";
  return `This ComfyUI is already driven by ${holder}; ${advice}. This worker takes over when that one is gone, 10 s after a crash`;
}

/**
 * Pure: what to do now about an instance that is quarantined, or away for long. In quarantine the restart comes once, before
 * the second canary; one that stays away is restarted every minute.
 */
export function nextCure(
  health: Health,
  { nowMs, canRestart, timeScale }: Pick<Circumstances, "nowMs" | "timeScale"> & { readonly canRestart: boolean },
): "none" | "restart" | "canary" {
  const { quarantine, awaySinceMs, driver } = health;
  if (awaySinceMs !== undefined) {
    const isLong = nowMs - awaySinceMs >= AWAY_PATIENCE_MS * timeScale;
    return canRestart && isLong && driver.kind !== "other" ? "restart" : "none";
  }
  if (!quarantine || nowMs < quarantine.nextCanaryAtMs) return "none";
  return quarantine.canaries > 0 && canRestart && !quarantine.wasRestarted ? "restart" : "canary";
}
