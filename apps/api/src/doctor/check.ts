import type { DoctorCheck } from "@comfyq/contract";

export function ok(name: string, found: string): DoctorCheck {
  return { name, state: "ok", found, advice: null };
}

export function warn(name: string, found: string, advice: string): DoctorCheck {
  return { name, state: "warn", found, advice };
}

export function fail(name: string, found: string, advice: string): DoctorCheck {
  return { name, state: "fail", found, advice };
}

/** What somebody threw, in words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
