import { readFileSync, writeFileSync } from "node:fs";

function field(pid: number, name: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? Number.NaN) / 1_024;
}

/** Memory of a process now, in MiB. Linux only. */
export function residentMb(pid: number): number {
  return field(pid, "VmRSS");
}

/** The most since `forgetPeak`, or since its start, in MiB: the kernel's own mark, which no interval can miss. */
export function peakMb(pid: number): number {
  return field(pid, "VmHWM");
}

export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}
