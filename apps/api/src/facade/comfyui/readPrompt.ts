import { isObject, type PromptFault, promptFault } from "@comfyq/comfyui/wire";
import { COMFY_SECRETS, JobSecrets, Uuid } from "@comfyq/contract";
import type { Request } from "express";
import { parseJson } from "../../body/parseJson.ts";
import { PromptRefusal } from "./promptRefusal.ts";

/** A `POST /prompt` as far as it can be read without knowing any node. */
export interface ReadPrompt {
  /** Undefined: the server makes one. */
  readonly promptId: string | undefined;
  readonly clientId: string | null;
  readonly graph: unknown;
  /** Undefined: the counter's. */
  readonly number: number | undefined;
  readonly isFront: boolean;
  readonly targets: readonly unknown[] | null;
  /** Without secrets. */
  readonly extraData: Readonly<Record<string, unknown>>;
  readonly secrets: JobSecrets | undefined;
}

const EXAMPLE = '{"prompt": {…}, "client_id": "…"}';
const LONGEST_CLIENT_ID = 256;

/**
 * Reads the body (server.py post_prompt). What ComfyUI answers with 500 is refused with 400 here.
 * @throws PromptRefusal, or ApiError `invalid_json`
 */
export function readPrompt(bytes: Buffer, req: Request): ReadPrompt {
  const body = parseJson(bytes, EXAMPLE);
  const fields = isObject(body) ? body : {};
  if (!("prompt" in fields)) throw new PromptRefusal(noPrompt());
  const { prompt_id: promptId = null, number, front, client_id: clientId = null } = fields;
  const id = promptId === null ? undefined : Uuid.safeParse(promptId);
  if (id?.success === false) throw new PromptRefusal(invalidPromptId());
  if (typeof clientId === "string" && clientId.length > LONGEST_CLIENT_ID)
    throw refusal(`client_id has more than ${LONGEST_CLIENT_ID} characters; use a uuid`);
  const { extraData, secrets } = readExtraData(fields, req);
  const targets = fields["partial_execution_targets"];
  return {
    promptId: id?.data,
    clientId: typeof clientId === "string" && clientId !== "" ? clientId : null,
    graph: fields["prompt"],
    number: number === undefined ? undefined : readNumber(number),
    isFront: Boolean(front),
    targets: Array.isArray(targets) ? targets : null,
    extraData,
    secrets,
  };
}

function readNumber(number: unknown): number {
  const read = typeof number === "string" && number.trim() !== "" ? Number(number) : number;
  if (typeof read === "number" && Number.isFinite(read)) return read;
  throw refusal("number must be a number; leave it out to be queued behind all others");
}

function readExtraData(
  { extra_data: given = {}, client_id: clientId }: Readonly<Record<string, unknown>>,
  req: Request,
): Pick<ReadPrompt, "extraData" | "secrets"> {
  if (!isObject(given)) throw refusal("extra_data must be an object");
  const named = new Set<string>(COMFY_SECRETS);
  const shown = Object.fromEntries(Object.entries(given).filter(([key]) => !named.has(key) && key !== "comfyq"));
  const secrets = Object.fromEntries(Object.entries(given).filter(([key, value]) => named.has(key) && value != null));
  const parsed = JobSecrets.safeParse(secrets);
  if (!parsed.success) throw refusal(`${COMFY_SECRETS.join(" and ")} must be texts of at most 8192 bytes`);
  const source = req.get("comfy-usage-source");
  return {
    extraData: {
      ...shown,
      ...(clientId === undefined ? {} : { client_id: clientId }),
      ...(source === undefined || "comfy_usage_source" in shown ? {} : { comfy_usage_source: source }),
    },
    secrets: Object.keys(secrets).length === 0 ? undefined : parsed.data,
  };
}

function refusal(message: string): PromptRefusal {
  return new PromptRefusal(promptFault("invalid_prompt", message, { details: message }));
}

function noPrompt(): PromptFault {
  return promptFault("no_prompt", "No prompt provided", { details: "No prompt provided" });
}

function invalidPromptId(): PromptFault {
  return promptFault("invalid_prompt_id", "prompt_id must be a valid UUID", {
    details:
      "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one",
  });
}
