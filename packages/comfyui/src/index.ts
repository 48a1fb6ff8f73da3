export { connectComfyUi } from "./connectComfyUi.ts";
export {
  ComfyError,
  type ComfyErrorCode,
  type ComfyErrorFacts,
  isComfyError,
  type MissingResource,
  type NodeFailure,
} from "./errors.ts";
export type * from "./face.ts";
export type * from "./files.ts";
export { collectOutputs } from "./outputs.ts";
export { missingFiles } from "./refusal.ts";
