/** Where a process may die by its own hand (K0a to K12 of runtime's fail points), and whose process that is. */
export const FAIL_POINTS = {
  accepted_not_queued: "api",
  queued_not_answered: "api",
  claimed: "worker",
  inputs_downloading: "worker",
  uploaded: "worker",
  ahead_inputs_downloading: "worker",
  ahead_uploaded: "worker",
  journaled: "worker",
  submitted: "worker",
  executing: "worker",
  rendered: "worker",
  output_stored: "worker",
  outputs_stored: "worker",
  sealed: "worker",
  settled: "worker",
  told_one: "dispatcher",
  became_idle: "dispatcher",
  announced: "dispatcher",
  delivered: "dispatcher",
} as const;

export type FailPointName = keyof typeof FAIL_POINTS;
export const FAIL_POINT_NAMES = Object.keys(FAIL_POINTS) as [FailPointName, ...FailPointName[]]; // keys of the table
