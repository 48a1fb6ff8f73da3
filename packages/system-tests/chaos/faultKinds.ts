interface FaultKind {
  /** Can this alone cost a job one more render? (I12; the others must cost none.) */
  readonly mayCostRender: boolean;
  /** Can the simulator it names not be stopped, or not be reached, while it lasts? (I4) */
  readonly cutsOff: boolean;
}

const free: FaultKind = { mayCostRender: false, cutsOff: false };
const costly: FaultKind = { mayCostRender: true, cutsOff: false };

/**
 * Every fault the nemesis knows, and what it may cost. Deaths of workers and simulators cost by themselves: the checker
 * sees their ends; what stands here as costly breaks a ComfyUI without ending it.
 */
export const FAULT_KINDS = {
  // processes
  kill_worker: free,
  term_worker: free,
  stop_worker: free,
  kill_api: free,
  stop_api: free,
  kill_dispatcher: free,
  kill_redis: free,
  stop_redis: free,
  kill_simulator: free,
  stop_simulator: { mayCostRender: true, cutsOff: true }, // asleep for longer than a stall
  fail_point: free,
  // lines
  freeze_worker_redis: free,
  cut_worker_redis: free,
  slow_worker_redis: free,
  freeze_api_redis: free,
  cut_api_redis: free,
  freeze_comfyui: { mayCostRender: false, cutsOff: true },
  cut_comfyui: free,
  slow_comfyui: free,
  // Redis says no
  redis_full: free,
  redis_readonly: free,
  // the store
  s3_errors: free,
  s3_stalls: free,
  s3_wrong_checksum: free,
  s3_loses_answer: free,
  s3_slow: free,
  // ComfyUI
  ws_drop: free,
  ws_silent: free,
  ws_mute: free,
  ws_hang: free,
  frames_stop: free,
  prompt_answer_lost: free,
  prompt_500: free,
  comfyui_500: free,
  comfyui_hangs: { mayCostRender: false, cutsOff: true },
  history_500: free,
  history_late: free,
  history_evicted: costly,
  output_cut_off: free,
  output_stalls: free,
  upload_refused: free,
  disk_full: costly,
  refused_in_part: free,
  deaf: free,
  output_missing: costly,
  outputs_cleared: costly,
  out_of_memory: costly,
  cuda_fault: costly,
  interrupted: costly,
  simulator_restart: costly,
  zombie: { mayCostRender: true, cutsOff: true },
  exec_slow: free,
  // receivers
  sink_refuses: free,
  sink_hangs_up: free,
  sink_slow: free,
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof FAULT_KINDS;

/** What is known of a fault by the name a history has; a name nobody knows excuses nothing. */
export function faultKind(name: string): FaultKind {
  return name in FAULT_KINDS ? FAULT_KINDS[name as FaultName] : free; // asked in the same line
}
