/**
 * Every message of ComfyUI's HTTP and WebSocket protocol as zod, local and Comfy Cloud (reference/comfyui-protocol.md).
 * All objects are loose: keys that a newer server adds are kept. For the client, the simulator and the API's façade.
 */
export * from "./binaryFrames.ts";
export * from "./execution.ts";
export * from "./files.ts";
export * from "./history.ts";
export * from "./jobs.ts";
export * from "./objectInfo.ts";
export { parseJson } from "./parseJson.ts";
export * from "./paths.ts";
export * from "./prompt.ts";
export * from "./queue.ts";
export * from "./serverFacts.ts";
export * from "./textFrames.ts";
export * from "./workflow.ts";
