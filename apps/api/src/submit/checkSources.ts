import {
  AssetId,
  assetIdOf,
  type InputSource,
  isSafePath,
  MODEL_DESTINATION,
  type ModelRules,
  type NewJob,
  parseParamPath,
  SAFE_PATH_RULE,
  type Workflow,
} from "@comfyq/contract";
import { ApiError, type Fault } from "../errors.ts";
import { modelFault } from "./checkModels.ts";

/**
 * Checks where inputs and files come from and go to, without fetching anything.
 * @throws ApiError `invalid_request` naming every one that is wrong
 */
export function checkSources(job: NewJob, rules: ModelRules): void {
  const faults: Fault[] = [];
  const note = (path: string, message: string | undefined) => {
    if (message !== undefined) faults.push({ path, message });
  };
  for (const [address, source] of Object.entries(job.inputs)) {
    note(`inputs.${address}`, addressFault(job.workflow, address) ?? sourceFault(source));
  }
  for (const [destination, source] of Object.entries(job.files)) {
    note(`files.${destination}`, destinationFault(job.workflow, destination, rules) ?? sourceFault(source));
  }
  if (faults.length > 0)
    throw new ApiError("invalid_request", "Some inputs cannot be taken; see details", { details: faults });
}

/** Says what is wrong with an address in a workflow that a file is to be put to; undefined when nothing is. */
export function addressFault(workflow: Workflow, address: string): string | undefined {
  const place = parseParamPath(address);
  if (!place) return "is no address; write <node id>.inputs.<name>, such as 10.inputs.image";
  if (place.input === "__proto__") return "this input's name is not allowed";
  return Object.hasOwn(workflow, place.nodeId) ? undefined : `the workflow has no node ${JSON.stringify(place.nodeId)}`;
}

/** Says what is wrong with where a file comes from. */
export function sourceFault(source: InputSource): string | undefined {
  const { url, credential } = source;
  const isFetched = /^(https?|s3):/.test(url);
  if (credential !== undefined && !isFetched) return "needs no credential; only http(s):// and s3:// sources do";
  const assetId = assetIdOf(source);
  if (assetId !== undefined)
    return AssetId.safeParse(assetId).success
      ? undefined
      : "is no asset; write asset:<id> with the id that POST /v1/assets gave";
  if (url.startsWith("s3:")) return s3Fault(url);
  return url.startsWith("data:") ? dataUriFault(url) : urlFault(url);
}

function s3Fault(url: string): string | undefined {
  const key = /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\/(.+)$/s.exec(url)?.[1];
  if (key === undefined) return "is no S3 address; write s3://bucket/key";
  const isSafe = !/[\p{Cc}\\]|(^|\/)\.{0,2}(\/|$)/u.test(key) && Buffer.byteLength(key) <= 1_024;
  return isSafe
    ? undefined
    : "has a key that cannot be read: no empty, . or .. parts, no control characters, 1024 bytes";
}

function urlFault(source: string): string | undefined {
  const url = URL.parse(source);
  if (!url) return "is no URL that can be fetched; write it in full, https://host/path";
  if (url.username || url.password) return "has a user name or password in it, which is not sent; use a presigned URL";
  return undefined;
}

function dataUriFault(source: string): string | undefined {
  const comma = source.indexOf(",");
  if (comma === -1) return "is no data URI; write data:<type>;base64,<bytes>";
  if (comma === source.length - 1) return "is a data URI without bytes";
  if (!/;base64$/i.test(source.slice(0, comma))) return undefined;
  return /^[A-Za-z0-9+/_-]*={0,2}$/.test(source.slice(comma + 1)) ? undefined : "its bytes are not base64";
}

function destinationFault(workflow: Workflow, destination: string, rules: ModelRules): string | undefined {
  if (destination.startsWith(MODEL_DESTINATION)) return modelFault(workflow, destination, rules);
  const name = /^\/input\/(.*)$/s.exec(destination)?.[1];
  if (name === undefined)
    return "only /input/<name> and /models/<folder>/<name> can be written, such as /input/pose.png";
  if (!isSafePath(name)) return SAFE_PATH_RULE;
  const isNamed = Object.values(workflow).some((node) => Object.values(node.inputs).includes(name));
  return isNamed ? undefined : `no input of the workflow says ${JSON.stringify(name)}, so nothing would use it`;
}
