import { isPlainWorkflow, isUiFormat, NewJob } from "@comfyq/contract";
import { parseJson } from "../body/parseJson.ts";
import { zodFaults } from "../body/zodFaults.ts";
import { ApiError } from "../errors.ts";
import { type Fingerprint, fingerprintOf } from "./fingerprint.ts";
import { hideSecrets, type Sealer } from "./hideSecrets.ts";

/** Most bytes of JSON a workflow may have: the largest published ones have 300 KB, and Redis keeps every one. */
const WORKFLOW_BYTES = 1_000_000;
const EXAMPLE = '{"workflow": {…}}';

/** A body that has the right form; whether it makes sense is not known yet. */
export interface ReadBody {
  /** Without its secrets, and without the headers of its webhook: from here on nobody sees them. */
  readonly job: Omit<NewJob, "secrets">;
  /** Of the body as sent; of its secrets only what tells them from others. */
  readonly fingerprint: Fingerprint;
  readonly sealedSecrets?: string | undefined;
  readonly sealedHeaders?: string | undefined;
  /** The bytes, when they could be kept as they are: one line of JSON with nothing to be hidden or written into it. */
  readonly original: Buffer | undefined;
}

/**
 * Bytes → NewJob, with every default filled in.
 * @throws ApiError `invalid_json` | `workflow_format_ui` | `invalid_workflow` | `invalid_request`, with every faulty field;
 * `payload_too_large`
 */
export function readSubmission(bytes: Buffer, sealer: Sealer): ReadBody {
  const body = parseJson(bytes, EXAMPLE);
  refuseLookalikes(body);
  return readNewJob(body, { bytes, sealer });
}

interface Reading {
  /** As the customer sent it; undefined when it was another API's body, of which this one was made. */
  readonly bytes: Buffer | undefined;
  readonly sealer: Sealer;
}

/**
 * A body of `POST /v1/jobs` → NewJob.
 * @throws ApiError like `readSubmission`
 */
export function readNewJob(body: object, { bytes, sealer }: Reading): ReadBody {
  const parsed = parse(body);
  if (parsed.success) {
    if (!bytes || bytes.length > WORKFLOW_BYTES) refuseLargeGraph(parsed.data);
    const { told, ...hidden } = hideSecrets(parsed.data, body, sealer);
    const fingerprint = fingerprintOf(told ?? body, told ? undefined : bytes);
    return { ...hidden, fingerprint, original: !told && bytes && isPlain(bytes, hidden.job) ? bytes : undefined };
  }
  const details = zodFaults(parsed.error, Object.keys(NewJob.shape));
  const isGraphOnly = details.every(({ path }) => path.startsWith("workflow."));
  const fields = details.length === 1 ? "One field is" : `${details.length} fields are`;
  const first = details[0] && details[0].path !== "" ? `: ${details[0].path} ${details[0].message}` : "";
  throw isGraphOnly
    ? new ApiError("invalid_workflow", `The workflow is not in ComfyUI's API format${first}`, { details })
    : new ApiError("invalid_request", `${fields} wrong${first}; see details, and /docs for what is taken`, { details });
}

const LINE_FEED = 0x0a;

/** Params are yet to be written, data: URIs to be taken out, and an indented body is mostly blanks. */
function isPlain(bytes: Buffer, { params, inputs, files }: ReadBody["job"]): boolean {
  const isBare = [params, inputs, files].every((part) => Object.keys(part).length === 0);
  return isBare && !bytes.includes(LINE_FEED);
}

/** As the schema does; a plain graph is not copied through it. */
function parse(body: object): ReturnType<typeof NewJob.safeParse> {
  const { workflow }: { readonly workflow?: unknown } = body;
  if (!isPlainWorkflow(workflow)) return NewJob.safeParse(body);
  const parsed = NewJob.safeParse({ ...body, workflow: {} });
  return parsed.success ? { ...parsed, data: { ...parsed.data, workflow } } : parsed;
}

/** The body may be large because its inputs hold data: URIs; what becomes the graph may not. */
export function refuseLargeGraph({ workflow, params }: Pick<NewJob, "workflow" | "params">): void {
  if (Buffer.byteLength(JSON.stringify([workflow, params])) <= WORKFLOW_BYTES) return;
  throw new ApiError(
    "payload_too_large",
    `The workflow is larger than ${WORKFLOW_BYTES} bytes; send files as inputs or assets instead of inside the graph`,
  );
}

/** What people send most often instead of what is meant: say so in their words, not in a schema's. */
export function refuseLookalikes(body: unknown): asserts body is object {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw new ApiError("invalid_request", `The body must be a JSON object such as ${EXAMPLE}`);
  const { workflow } = body as { workflow?: unknown }; // an object, see above
  if (isUiFormat(workflow) || isUiFormat(body))
    throw new ApiError(
      "workflow_format_ui",
      "This workflow is in the format that the ComfyUI editor saves, which cannot be run by any API; in ComfyUI choose " +
        "Workflow > Export (API) (older versions: Save (API Format), after enabling Dev mode in the settings) and send that",
      {
        details: [{ path: "workflow", message: "has nodes and links; it must be { node id: { class_type, inputs } }" }],
      },
    );
  if (workflow === undefined && Object.values(body).some(isNode))
    throw new ApiError("invalid_request", 'This is a workflow on its own; send it inside a job: {"workflow": {…}}', {
      details: [{ path: "workflow", message: "is missing" }],
    });
}

function isNode(value: unknown): boolean {
  return typeof value === "object" && value !== null && "class_type" in value;
}
