/** A ComfyUI without a GPU, with faults on demand: see README.md and GOTCHAS.md. */

export { PythonError } from "@comfyq/comfyui/wire";
export type { SimulatorClock } from "./clock.ts";
export type { NodeContext, ProgressBar } from "./engine/NodeContext.ts";
export { FAULT_KINDS, type Fault, type FaultKind, STAGES, type Stage } from "./faults/Fault.ts";
export type { PendingFault } from "./faults/FaultBoard.ts";
export { BUNDLED_MODELS } from "./files/bundledModels.ts";
export { ExecutionBlocker, type NodeClass, type NodeInputs, type NodeResult } from "./nodes/NodeClass.ts";
export type { PromptStats } from "./PromptBook.ts";
export { SimulatorError, type SimulatorErrorCode } from "./SimulatorError.ts";
export type { SimulatorOptions } from "./SimulatorOptions.ts";
export type { SimulatorStats } from "./Stats.ts";
export { type Simulator, startSimulator } from "./startSimulator.ts";
export { RECORDED_VERSIONS } from "./versions.ts";
