import { randomUUID } from "node:crypto";
import {
  customValidationFailed,
  isObject,
  type PromptVerdict,
  PythonError,
  promptFault,
  pythonFloat,
  pythonStr,
  validatePrompt,
} from "@comfyq/comfyui/wire";
import { validatedClass } from "../../nodes/validatedClass.ts";
import type { Simulation } from "../../Simulation.ts";
import type { ApiRequest } from "../ApiRequest.ts";
import { json, type Reply } from "../Reply.ts";
import type { Route } from "../Router.ts";

/** `POST /prompt` and `GET /prompt` (server.py post_prompt; reference/comfyui-protocol.md §1.1). */
export const PROMPT_ROUTES: readonly Route[] = [
  { method: "GET", path: "/prompt", handle: (_, { life }) => json(life.status().status) },
  { method: "POST", path: "/prompt", handle: postPrompt },
];

type Accepted = Extract<PromptVerdict, { isValid: true }>;

async function postPrompt(request: ApiRequest, simulation: Simulation): Promise<Reply> {
  return submitPrompt(await request.json(), request, simulation);
}

/** Validates and queues what a body says. @throws PythonError, which becomes a 500 as in ComfyUI */
export async function submitPrompt(body: unknown, request: ApiRequest, simulation: Simulation): Promise<Reply> {
  const { life, parts } = simulation;
  const arrivedAtMs = parts.clock.monotonicMs();
  life.log.write("got prompt");
  if (typeof body !== "object" || body === null)
    throw new PythonError("TypeError", "argument of that type is not iterable");
  const fields = isObject(body) ? body : {};
  const number = takeNumber(fields, simulation);
  if (!Object.hasOwn(fields, "prompt")) return refused("no_prompt", "No prompt provided", "No prompt provided");
  const promptId = takePromptId(fields, parts.profile.checksPromptId);
  if (promptId === undefined) {
    return refused(
      "invalid_prompt_id",
      "prompt_id must be a valid UUID",
      "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one",
    );
  }
  await simulation.blockLoop();
  const verdict = judge(fields, simulation);
  const extraData = takeExtraData(fields, request);
  if (!verdict.isValid) {
    life.log.write(`invalid prompt: ${pythonStr(verdict.error)}`);
    return json({ error: verdict.error, node_errors: verdict.nodeErrors }, 400);
  }
  const accepted = parts.faults.strike("node_errors_200") ? withBrokenOutput(verdict) : verdict;
  enqueue(simulation, { number, promptId, extraData, accepted, arrivedAtMs });
  const late = parts.faults.strike("prompt_answer_late", { promptId });
  if (late?.ms) await parts.clock.sleep(late.ms);
  return json({ prompt_id: promptId, number, node_errors: accepted.nodeErrors });
}

/** The client's number, or the counter, which every request without a number advances, refused ones too. */
function takeNumber(fields: Record<string, unknown>, { life }: Simulation): number {
  if (Object.hasOwn(fields, "number")) return pythonFloat(fields["number"]);
  const counter = life.counter++;
  return fields["front"] && counter !== 0 ? -counter : counter;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** undefined when the id is refused. Older versions take anything, and make `"None"` of null. */
function takePromptId(fields: Record<string, unknown>, isChecked: boolean): string | undefined {
  const given = fields["prompt_id"];
  if (!Object.hasOwn(fields, "prompt_id") || (isChecked && given === null)) return randomUUID();
  if (!isChecked) return pythonStr(given);
  return typeof given === "string" && UUID.test(given) ? given : undefined;
}

function judge(fields: Record<string, unknown>, { parts }: Simulation): PromptVerdict {
  const { nodes, folders, profile } = parts;
  const targets = fields["partial_execution_targets"];
  return validatePrompt(fields["prompt"], Array.isArray(targets) ? targets : null, {
    classOf: (name) => validatedClass(nodes.get(name), folders),
    reportsCycles: profile.reportsCycles,
    namesMissingNodes: profile.namesMissingNodes,
  });
}

/** @throws PythonError when it is there and no object */
function takeExtraData(fields: Record<string, unknown>, request: ApiRequest): Record<string, unknown> {
  const given = Object.hasOwn(fields, "extra_data") ? fields["extra_data"] : {};
  if (!isObject(given)) throw new PythonError("TypeError", "extra_data is not a dict");
  const source = request.headers["comfy-usage-source"];
  return {
    ...given,
    ...(Object.hasOwn(fields, "client_id") ? { client_id: fields["client_id"] } : {}),
    ...(typeof source === "string" && given["comfy_usage_source"] === undefined ? { comfy_usage_source: source } : {}),
  };
}

const SECRET_KEYS = ["auth_token_comfy_org", "api_key_comfy_org"] as const;

interface Submission {
  readonly number: number;
  readonly promptId: string;
  readonly extraData: Record<string, unknown>;
  readonly accepted: Accepted;
  readonly arrivedAtMs: number;
}

function enqueue({ life, parts }: Simulation, submission: Submission): void {
  const { number, promptId, extraData, accepted, arrivedAtMs } = submission;
  const secrets: Record<string, unknown> = {};
  const shown = { ...extraData };
  for (const key of parts.profile.hidesSecrets ? SECRET_KEYS : []) {
    if (!Object.hasOwn(shown, key)) continue;
    secrets[key] = shown[key];
    delete shown[key];
  }
  if (parts.profile.stampsCreateTime) shown["create_time"] = parts.clock.nowMs();
  const { graph, outputs } = accepted;
  const prompt = { number, promptId, graph, extraData: shown, secrets, outputs };
  parts.stats.prompts.accepted(prompt, arrivedAtMs);
  life.queue.put(prompt);
  life.reach("queued", { promptId });
}

/** The fault `node_errors_200`: the last output is dropped when there is another one, and reported in any case. */
function withBrokenOutput(verdict: Accepted): Accepted {
  const [first = "", ...others] = verdict.outputs;
  const broken = others.at(-1) ?? first;
  const outputs = others.length > 0 ? verdict.outputs.filter((output) => output !== broken) : verdict.outputs;
  const report = {
    errors: [customValidationFailed("images", "simulated fault")],
    dependent_outputs: [broken],
    class_type: verdict.graph[broken]?.class_type ?? "",
  };
  return { ...verdict, outputs, nodeErrors: { ...verdict.nodeErrors, [broken]: report } };
}

function refused(type: string, message: string, details: string): Reply {
  return json({ error: promptFault(type, message, { details }), node_errors: {} }, 400);
}
