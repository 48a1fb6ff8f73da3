import { ComfyError, type MissingResource } from "./errors.ts";
import {
  type NodeErrors,
  NodeErrors as NodeErrorsSchema,
  type PromptFault,
  PromptRefused,
  parseJson,
} from "./wire/index.ts";

/** Reads the 400 of `POST /prompt` (§1.1), and Comfy Cloud's other shapes of saying no. */
export function refusalOf(promptId: string, httpStatus: number, text: string): ComfyError {
  const { fault, nodeErrors } = parseRefusal(text);
  const missing = missingResources(fault, nodeErrors);
  const message = `ComfyUI refused prompt ${promptId}: ${describe(fault, nodeErrors)}`;
  const facts = { promptId, httpStatus, refusal: fault.type, nodeErrors, ...(missing.length > 0 ? { missing } : {}) };
  return new ComfyError("rejected", message, { facts });
}

interface Refusal {
  readonly fault: PromptFault;
  readonly nodeErrors: NodeErrors;
}

/** `error.type` of a refusal; "" when it has none. */
export function refusalType(text: string): string {
  return parseRefusal(text).fault.type;
}

function parseRefusal(text: string): Refusal {
  const plain = (message: string): PromptFault => ({ type: "", message, details: "", extra_info: {} });
  let body: unknown;
  try {
    body = parseJson(text);
  } catch {
    return { fault: plain(text.slice(0, 200)), nodeErrors: {} };
  }
  const refused = PromptRefused.safeParse(body).data;
  if (!refused) return { fault: parseCloudFault(body) ?? plain(text.slice(0, 200)), nodeErrors: {} };
  const fault = typeof refused.error === "string" ? plain(refused.error) : refused.error;
  return { fault, nodeErrors: NodeErrorsSchema.safeParse(refused.node_errors).data ?? {} };
}

/** `{code, message}`, or an `error` without all its fields (§6.1). */
function parseCloudFault(body: unknown): PromptFault | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const inner = "error" in body && typeof body.error === "object" && body.error !== null ? body.error : body;
  const field = (name: string): string => {
    const value: unknown = Object.entries(inner).find(([key]) => key === name)?.[1];
    return typeof value === "string" ? value : "";
  };
  return { type: field("type") || field("code"), message: field("message"), details: field("details"), extra_info: {} };
}

function describe(fault: PromptFault, nodeErrors: NodeErrors): string {
  const [first] = Object.entries(nodeErrors).flatMap(([id, node]) => node.errors.map((error) => ({ id, node, error })));
  const text = [fault.message || fault.type, fault.details].filter(Boolean).join(": ");
  if (!first) return text;
  const { id, node, error } = first;
  return `${text}; node ${id} (${node.class_type}): ${error.message}${error.details ? ` (${error.details})` : ""}`;
}

/** Filled only when every fault is a thing that another server may have; one real mistake spoils it. */
function missingResources(fault: PromptFault, nodeErrors: NodeErrors): readonly MissingResource[] {
  const nodeClass = missingClass(fault);
  if (nodeClass) return [nodeClass];
  const found = Object.entries(nodeErrors).flatMap(([node_id, { class_type, errors }]) =>
    errors.map((error) => missingName(error, { node_id, class_type })),
  );
  const missing = found.filter((one) => one !== undefined);
  return missing.length === found.length ? missing : [];
}

/** `missing_node_type` since 0.11, before that an `invalid_prompt` whose text names the class. */
function missingClass({ type, message, details, extra_info }: PromptFault): MissingResource | undefined {
  if (type !== "missing_node_type" && type !== "invalid_prompt") return undefined;
  const told = extra_info["class_type"];
  const name = typeof told === "string" ? told : /node (.+) does not exist/.exec(message)?.[1];
  const node_id = /#([^']+)/.exec(details)?.[1];
  return name ? { kind: "node_class", name, ...(node_id ? { node_id, class_type: name } : {}) } : undefined;
}

/** A model looks like a file name that is in no list; an input file fails the loader's own validation (§3.5). */
function missingName(error: PromptFault, node: { node_id: string; class_type: string }): MissingResource | undefined {
  const { input_name, received_value } = error.extra_info;
  const input = typeof input_name === "string" ? { input_name } : {};
  if (error.type === "value_not_in_list" && typeof received_value === "string" && HAS_EXTENSION.test(received_value)) {
    return { kind: MEDIA.test(received_value) ? "file" : "model", ...node, ...input, name: received_value };
  }
  const file = error.type === "custom_validation_failed" ? /Invalid .*file: (.+)$/.exec(error.details)?.[1] : undefined;
  return file ? { kind: "file", ...node, ...input, name: file } : undefined;
}

/** Input files that are not on the server, of a refused prompt or of the outputs dropped from an accepted one. */
export function missingFiles(nodeErrors: NodeErrors): readonly string[] {
  const faults = Object.entries(nodeErrors).flatMap(([node_id, { class_type, errors }]) =>
    errors.map((error) => missingName(error, { node_id, class_type })),
  );
  return faults.flatMap((fault) => (fault?.kind === "file" ? [fault.name] : []));
}

const HAS_EXTENSION = /\.[a-z0-9]{2,12}$/i;
const MEDIA =
  /\.(png|jpe?g|webp|gif|bmp|tiff?|avif|mp4|webm|mov|mkv|avi|wav|mp3|flac|ogg|opus|m4a|glb|gltf|obj|txt|json)$/i;
