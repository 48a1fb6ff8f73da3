import { PromptRefused } from "@comfyq/comfyui/wire";
import { API_ERRORS } from "@comfyq/contract";
import type { Door } from "../../door.ts";
import type { ApiError } from "../../errors.ts";

/** First parts of ComfyUI's paths, at the root and under `/api`. */
const PATHS =
  /^(?:\/api)?\/(?:prompt|queue|interrupt|free|history|view|upload|object_info|system_stats|features|models|embeddings|experiment|view_metadata|internal|extensions|settings|users|userdata|v2\/userdata|jobs|ws|i18n|workflow_templates|global_subgraphs|node_replacements)(?:\/|$)/;

/**
 * ComfyUI's own API. It has one shape for what it refuses, that of `POST /prompt`, and plain text for all else: here everything
 * has that one, so that a client's message is ours.
 */
export const COMFYUI_DOOR: Door = {
  covers: (path) => PATHS.test(path) && !/^\/jobs(?:\/|$)/.test(path),
  showError: (error) => ({ status: error.status, body: refusalOf(error) }),
  documented: { refusal: (code) => ({ status: API_ERRORS[code], code }), body: PromptRefused },
};

function refusalOf({ code, message, details }: ApiError): PromptRefused {
  const lines = details.map((fault) => `${fault.path}: ${fault.message}`).join("\n");
  return { error: { type: code, message, details: lines, extra_info: {} }, node_errors: {} };
}
