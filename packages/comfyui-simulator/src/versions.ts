import { SimulatorError } from "./SimulatorError.ts";

/**
 * What a ComfyUI of one version does differently from others (reference/comfyui-protocol.md §0.1).
 * Every name says what the newer server does.
 */
export interface VersionProfile {
  readonly version: string;
  /** 0.3.67: partner keys no longer visible in `/queue` and history. */
  readonly hidesSecrets: boolean;
  /** 0.3.67: only output nodes in `outputs` of history; before, every cached node with UI data. */
  readonly listsOnlyOutputNodes: boolean;
  /** 0.3.67 up to 0.27.0: a cached prompt without client_id ends with empty outputs (a bug). */
  readonly losesCachedOutputsWithoutClient: boolean;
  /** 0.3.68 */
  readonly stampsCreateTime: boolean;
  /** 0.4.0 */
  readonly obeysPreviewMethod: boolean;
  /** 0.5.1 */
  readonly hasJobs: boolean;
  /** 0.8.2: before, an interrupted job is `failed`. */
  readonly knowsCancelledJobs: boolean;
  /** 0.9.1 */
  readonly throttlesProgress: boolean;
  /** 0.11.1: `missing_node_type` instead of `invalid_prompt`. */
  readonly namesMissingNodes: boolean;
  /** 0.18.1: `Sec-Fetch-Site: cross-site` is refused. */
  readonly refusesCrossSite: boolean;
  /** 0.19.3: static cycles are reported as `dependency_cycle`. */
  readonly reportsCycles: boolean;
  /** 0.22.0: results of earlier, different prompts stay in the cache. */
  readonly keepsResults: boolean;
  /** 0.24.0: `prompt_id` must be a canonical UUID. */
  readonly checksPromptId: boolean;
  /** 0.25.0 */
  readonly cancelsJobs: boolean;
  /** 0.27.0: file names of input nodes must stay inside their folder. */
  readonly containsInputPaths: boolean;
  /** 0.31.0 */
  readonly countsPreviewableOutputs: boolean;
}

/** The two versions that were recorded. Any other from 0.3.64 on is taken by the table of changes. */
export const RECORDED_VERSIONS = ["0.3.64", "0.33.0"] as const;

const OLDEST = "0.3.64";

/** @throws SimulatorError `bad_option` when it is not a version, or one older than 0.3.64 */
export function profileOf(version: string): VersionProfile {
  if (!/^\d+\.\d+\.\d+$/.test(version) || compare(version, OLDEST) < 0) {
    throw new SimulatorError("bad_option", `ComfyUI ${version} is not simulated; name a version from ${OLDEST} on.`);
  }
  const since = (first: string): boolean => compare(version, first) >= 0;
  return {
    version,
    hidesSecrets: since("0.3.67"),
    listsOnlyOutputNodes: since("0.3.67"),
    losesCachedOutputsWithoutClient: since("0.3.67") && !since("0.27.0"),
    stampsCreateTime: since("0.3.68"),
    obeysPreviewMethod: since("0.4.0"),
    hasJobs: since("0.5.1"),
    knowsCancelledJobs: since("0.8.2"),
    throttlesProgress: since("0.9.1"),
    namesMissingNodes: since("0.11.1"),
    refusesCrossSite: since("0.18.1"),
    reportsCycles: since("0.19.3"),
    keepsResults: since("0.22.0"),
    checksPromptId: since("0.24.0"),
    cancelsJobs: since("0.25.0"),
    containsInputPaths: since("0.27.0"),
    countsPreviewableOutputs: since("0.31.0"),
  };
}

function compare(one: string, other: string): number {
  const [left, right] = [one, other].map((version) => version.split(".").map(Number));
  for (const [at, part] of (left ?? []).entries()) {
    const difference = part - (right?.[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
