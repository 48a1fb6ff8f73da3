export {
  ComfyError,
  type ComfyErrorCode,
  type ComfyErrorFacts,
  isComfyError,
  type MissingResource,
  type NodeFailure,
} from "./errors.ts";
export type * from "./face.ts";
