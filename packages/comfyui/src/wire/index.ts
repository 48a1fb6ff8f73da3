/**
 * Every message of ComfyUI's HTTP and WebSocket protocol as zod, local and Comfy Cloud (reference/comfyui-protocol.md).
 * All objects are loose: keys that a newer server adds are kept. For the client, the simulator and the API's façade.
 */
export * from "./binaryFrames.ts";
export * from "./execution.ts";
export * from "./files.ts";
export * from "./history.ts";
export * from "./jobs.ts";
export { JOB_STATUSES, type JobsQuery, jobsAnswer, readJobsQuery } from "./jobViews/jobsQuery.ts";
export { type EndedPrompt, endedJobView, type JobView, openJobView, wholeJobView } from "./jobViews/jobView.ts";
export * from "./objectInfo.ts";
export { parseJson } from "./parseJson.ts";
export * from "./paths.ts";
export * from "./prompt.ts";
export * from "./queue.ts";
export * from "./serverFacts.ts";
export * from "./textFrames.ts";
export { asPythonError, type ValidatedClass } from "./validation/GraphValidator.ts";
export { declaredInputs, type InputDeclaration } from "./validation/inputTable.ts";
export * from "./validation/pythonValues.ts";
export { type PromptVerdict, validatePrompt } from "./validation/validatePrompt.ts";
export { customValidationFailed, promptFault } from "./validation/validationFaults.ts";
export * from "./workflow.ts";
