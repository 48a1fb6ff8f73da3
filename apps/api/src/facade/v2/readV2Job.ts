import { type InputSource, parseModelPlace } from "@comfyq/contract";
import { modelRules } from "@comfyq/runtime";
import { parseJson } from "../../body/parseJson.ts";
import { ApiError, type Fault } from "../../errors.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";
import { type ReadBody, readNewJob, refuseLookalikes } from "../../submit/readSubmission.ts";
import { headerPath, readExtraHeaders } from "../extraHeaders.ts";
import { type AssetReference, takeReferences } from "./assetReferences.ts";
import { keepOutput } from "./keepOutput.ts";
import { type OwnV2Asset, ownV2Asset } from "./ownV2Asset.ts";
import { refusedV2Body } from "./refusedV2Body.ts";
import { V2NewJob } from "./v2Schemas.ts";

const EXAMPLE = '{"workflow": {…}}';

/** A body of Comfy API v2 as one of ours, and the way back for faults. */
export interface ReadV2Job {
  readonly read: ReadBody;
  /** Names the places of a fault as the client wrote them. */
  readonly inTheirWords: (error: unknown) => unknown;
}

/**
 * Bytes and headers → the same job that `POST /v1/jobs` takes: references to assets become inputs and files, the partner
 * nodes' key a sealed secret, our headers fields.
 * @throws ApiError `invalid_json` | `invalid_request` | `invalid_workflow` | `workflow_format_ui` | `missing_asset`
 */
export async function readV2Job(rooms: Rooms, call: Call, bytes: Buffer): Promise<ReadV2Job> {
  const body = parseJson(bytes, EXAMPLE);
  refuseLookalikes(body);
  const { workflow: sent, extra_data: secrets } = checkForm(body);
  const { workflow, references, faults } = takeReferences(sent);
  if (faults.length > 0)
    throw new ApiError("invalid_workflow", "Some core/ASSET references cannot be read", { details: faults });
  const sources = await resolveAll(rooms, call, references);
  const hasSecrets = secrets !== undefined && Object.keys(secrets).length > 0;
  const ours = { ...readExtraHeaders(call.req), workflow, ...sources.placed, ...(hasSecrets && { secrets }) };
  const inTheirWords = (error: unknown) => translated(error, sources.places);
  const sealer = { box: rooms.secretBox, tenant: call.caller.tenant };
  try {
    return { read: readNewJob(ours, { bytes: undefined, sealer }), inTheirWords };
  } catch (error) {
    throw inTheirWords(error);
  }
}

function checkForm(body: object) {
  const parsed = V2NewJob.safeParse(body);
  if (parsed.success) return parsed.data;
  throw refusedV2Body(parsed.error, V2NewJob);
}

interface Placed {
  readonly inputs: Record<string, InputSource>;
  readonly files: Record<string, InputSource>;
}

/** @throws ApiError `missing_asset` naming every reference to what is not there */
async function resolveAll(rooms: Rooms, call: Call, references: readonly AssetReference[]) {
  const placed: Placed = { inputs: {}, files: {} };
  const places = new Map<string, string>();
  const faults: Fault[] = [];
  for (const reference of references) {
    const path = `workflow.${reference.nodeId}.inputs.${reference.input}`;
    const own = await ownV2Asset(rooms, call.caller.tenant, reference.id).catch(ifMissing);
    if (own) place(reference, { source: { url: `asset:${await assetIdFor(rooms, call, own)}` }, path });
    else
      faults.push({
        path,
        message: `names the asset ${JSON.stringify(reference.id.slice(0, 80))}, which is not there`,
      });
  }
  if (faults.length > 0)
    throw new ApiError("missing_asset", "Some assets are not there; upload them with POST /api/v2/assets first", {
      details: faults,
    });
  return { placed, places };

  function place({ nodeId, input, filePath }: AssetReference, at: { source: InputSource; path: string }): void {
    const destination = filePath === undefined ? undefined : `/${filePath.replace(/^\/+/, "")}`;
    const isModel = destination !== undefined && parseModelPlace(destination, modelRules(rooms.settings)).place;
    const address = isModel ? destination : `${nodeId}.inputs.${input}`;
    (isModel ? placed.files : placed.inputs)[address] = at.source;
    places.set(`${isModel ? "files" : "inputs"}.${address}`, at.path);
  }
}

function ifMissing(error: unknown): undefined {
  if (error instanceof ApiError && error.code === "not_found") return undefined;
  throw error;
}

async function assetIdFor(rooms: Rooms, call: Call, own: OwnV2Asset): Promise<string> {
  if (own.kind === "uploaded") return own.asset.id;
  return (await keepOutput(rooms, { tenant: call.caller.tenant, signal: call.signal }, own.output)).id;
}

function translated(error: unknown, places: ReadonlyMap<string, string>): unknown {
  if (!(error instanceof ApiError) || error.details.length === 0) return error;
  const details = error.details.map(({ path, message }) => ({
    path: places.get(path) ?? headerPath(path) ?? path,
    message,
  }));
  return new ApiError(error.code, error.message, { details, headers: error.headers, cause: error });
}
