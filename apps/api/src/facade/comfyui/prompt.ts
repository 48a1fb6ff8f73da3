import { isObject, promptFault } from "@comfyq/comfyui/wire";
import { JOB_LIMITS, type NewJob } from "@comfyq/contract";
import { newId, nowMs, sha256Hex } from "@comfyq/runtime";
import { readAnyBody } from "../../body/readBody.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { queueJob } from "../../submit/queueJob.ts";
import { readNewJob } from "../../submit/readSubmission.ts";
import { keepFlatOutputs } from "../cloud/keepFlatOutputs.ts";
import { readExtraHeaders } from "../extraHeaders.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { judgePrompt } from "./judgePrompt.ts";
import { poolOf } from "./poolOf.ts";
import { PromptRefusal } from "./promptRefusal.ts";
import { type ReadPrompt, readPrompt } from "./readPrompt.ts";
import type { ComfyTools } from "./tools.ts";

/** `POST /prompt` and `GET /prompt`. */
export function promptRoutes(rooms: Rooms, tools: ComfyTools): readonly Route[] {
  return [
    ...comfyRoute({
      method: "post",
      path: "/prompt",
      scope: "submit",
      takesHeaders: true,
      summary: "Submit a graph; it becomes a job whose id is the prompt_id",
      run: async (call) => {
        try {
          call.res.json(await submitPrompt(rooms, call, tools));
        } catch (error) {
          if (!(error instanceof PromptRefusal)) throw error;
          call.res.status(400).json({ error: error.fault, node_errors: error.nodeErrors });
        }
      },
    }),
    ...comfyRoute({
      method: "get",
      path: "/prompt",
      scope: "read",
      summary: "How many of your jobs have not ended",
      run: async (call) => {
        const queue_remaining = await rooms.producer.prompts.countOpen(call.caller.tenant);
        call.res.json({ exec_info: { queue_remaining } });
      },
    }),
  ];
}

async function submitPrompt(rooms: Rooms, call: Call, { objectInfo, uploads }: ComfyTools) {
  const { tenant } = call.caller;
  const bytes = await readAnyBody(call.req, rooms.settings.COMFYQ_MAX_BODY_BYTES);
  const number = await rooms.producer.prompts.nextNumber(tenant); // also for one that is refused, as ComfyUI counts
  const read = readPrompt(bytes, call.req);
  const names = namesIn(read.graph);
  const files = new Map([
    ...(await uploads.find(tenant, "input", names)),
    ...(await keepFlatOutputs(rooms, call, names)),
  ]);
  const judged = judgePrompt(read, await objectInfo(poolOf(call.req)), (name) => files.has(withoutMark(name)));
  const placed = placeOf(read, number);
  const wished = readExtraHeaders(call.req);
  const inputs = uploadsIn(judged.workflow, files);
  const body = { priority: placed.priority, ...wished, workflow: judged.workflow, inputs };
  const { job } = readNewJob(body, { bytes: undefined, sealer: { box: rooms.secretBox, tenant } });
  const id = read.promptId ?? newId();
  // A client may choose any id, also one that is another tenant's: the same body does not make it theirs.
  const wishes = Object.keys(wished).length === 0 ? "" : JSON.stringify(wished);
  const bodySha256 = sha256Hex(`${tenant}:${sha256Hex(bytes)}${wishes}`);
  const { outputs, isPartial, nodeErrors } = judged;
  const prompt = { number: placed.number, client_id: read.clientId, outputs: [...outputs], is_partial: isPartial };
  await queueJob(rooms, tenant, {
    id,
    job,
    bodySha256,
    canonicalSha256: bodySha256,
    sealedSecrets: read.secrets && rooms.secretBox.seal(JSON.stringify(read.secrets), tenant),
    origin: { prompt },
    extraData: { ...read.extraData, create_time: nowMs() },
  }).catch((error: unknown) => {
    throw refusedByQueue(error) ?? error;
  });
  return { prompt_id: id, number: placed.number, node_errors: nodeErrors };
}

/** Smaller numbers run first there, higher priorities here; a number that nobody chose is no wish. */
function placeOf(
  { number, isFront }: ReadPrompt,
  counter: number,
): { readonly number: number; readonly priority: number } {
  const wish = number ?? (isFront && counter !== 0 ? -counter : undefined);
  if (wish === undefined) return { number: counter, priority: 0 };
  const priority = Math.max(-JOB_LIMITS.priority, Math.min(JOB_LIMITS.priority, Math.round(-wish)));
  return { number: wish, priority: priority === 0 ? 0 : priority }; // no -0
}

/** Every text that could name a file. */
function namesIn(graph: unknown): readonly string[] {
  const nodes = isObject(graph) ? Object.values(graph) : [];
  const values = nodes.flatMap((node) =>
    isObject(node) && isObject(node["inputs"]) ? Object.values(node["inputs"]) : [],
  );
  return [
    ...new Set(values.flatMap((value) => (typeof value === "string" && value.length <= 512 ? withoutMark(value) : []))),
  ];
}

/** `pose.png [input]` is `pose.png`. */
function withoutMark(name: string): string {
  return name.replace(/ \[input\]$/, "");
}

/** Inputs that name a file which the tenant has uploaded: its worker brings it to the instance. */
function uploadsIn(workflow: NewJob["workflow"], files: ReadonlyMap<string, { readonly assetId: string }>) {
  const inputs: Record<string, string> = {};
  if (files.size === 0) return inputs;
  for (const [id, node] of Object.entries(workflow))
    for (const [name, value] of Object.entries(node.inputs)) {
      const file = typeof value === "string" ? files.get(withoutMark(value)) : undefined;
      if (file) inputs[`${id}.inputs.${name}`] = `asset:${file.assetId}`;
    }
  return inputs;
}

function refusedByQueue(error: unknown): PromptRefusal | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "key_reuse")
    return new PromptRefusal(
      promptFault("invalid_prompt_id", "This prompt_id was used for another prompt", {
        details: "use a new UUID for each prompt, or omit it",
      }),
    );
  if (code !== "missing_asset") return undefined;
  return new PromptRefusal(
    promptFault("prompt_outputs_failed_validation", "An uploaded file is not there any more", {
      details: "files that no job has named for long are removed; upload it again",
    }),
  );
}
