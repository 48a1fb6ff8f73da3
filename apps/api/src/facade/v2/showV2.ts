import { type Asset, assetKeys, fromMoment, type JobFacts, type LinkedFile, toMoment } from "@comfyq/contract";
import { nowMs, retentionMs } from "@comfyq/runtime";
import { freshLink } from "../../presentJob.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";
import { type FoundOutput, outputIdOf } from "./outputIds.ts";
import { V2_BASE } from "./v2Door.ts";
import type { V2Asset, V2Job, V2Output } from "./v2Schemas.ts";
import { valueFile } from "./valueFile.ts";

/** Our types that Comfy API v2 knows by another name. */
const TYPES: Readonly<Record<FoundOutput["type"], V2Output["type"]>> = {
  image: "image",
  video: "video",
  audio: "audio",
  text: "text",
  latent: "latent",
  file: "file",
  "3d": "file",
  value: "text",
};

/** The job as Comfy API v2 shows it. Its links are host-relative, with the path of COMFYQ_PUBLIC_URL before them. */
export async function showV2Job(rooms: Rooms, call: Call, facts: JobFacts): Promise<V2Job> {
  const { id, status, created_at, started_at, completed_at, queue_position, progress } = facts;
  const self = `${mountPath(call)}${V2_BASE}/jobs/${id}`;
  return {
    id,
    status,
    created_at,
    started_at,
    completed_at,
    expires_at: expiryOf(rooms, facts),
    queue_position,
    progress,
    outputs: await Promise.all(facts.outputs.map((output) => showV2Output(rooms, call, { job: facts, output }))),
    error: showError(facts),
    metrics: metricsOf(facts),
    urls: { self, events: `${self}/events`, cancel: `${self}/cancel` },
  };
}

interface OutputOfJob {
  readonly job: JobFacts;
  readonly output: FoundOutput;
}

/** One output, with a link that is fresh now. A value is a small text. */
export async function showV2Output(rooms: Rooms, call: Call, { job, output }: OutputOfJob): Promise<V2Output> {
  const { node_id, name, type } = output;
  return {
    node_id,
    name,
    type: TYPES[type],
    id: outputIdOf(job.id, name),
    hash: null, // blake3 is not computed of outputs; the contract allows it to be lazy
    job_id: job.id,
    ...(await bytesOf(rooms, call, { job, output })),
  };
}

async function bytesOf(rooms: Rooms, call: Call, { job, output }: OutputOfJob) {
  if (!("value" in output))
    return { content_type: output.content_type, size_bytes: output.size_bytes, ...(await linkTo(rooms, call, output)) };
  const { content, contentType } = valueFile(output);
  const url = `${call.baseUrl}${V2_BASE}/assets/${outputIdOf(job.id, output.name)}/content`;
  const size_bytes = Buffer.byteLength(content);
  return { content_type: contentType, size_bytes, url, url_expires_at: expiryOf(rooms, job) };
}

async function linkTo(rooms: Rooms, call: Call, file: LinkedFile) {
  const { url, expiresAtMs } = await freshLink(rooms, call, file);
  return { url, url_expires_at: toMoment(expiresAtMs ?? nowMs() + rooms.settings.COMFYQ_LINK_TTL_S * 1_000) };
}

/** An uploaded asset. @param usedAtMs when it was last used: it is kept for as long as the retention says from then on */
export async function showV2Asset(rooms: Rooms, call: Call, asset: Asset, usedAtMs: number): Promise<V2Asset> {
  const { id, name, size_bytes, content_type, created_at } = asset;
  const { content: key } = assetKeys(call.caller.tenant, id);
  return {
    id,
    hash: asset.blake3 ?? null,
    size_bytes,
    content_type,
    file_path: name,
    created_at,
    ...(await linkTo(rooms, call, { key, name, content_type })),
    expires_at: toMoment(usedAtMs + retentionMs(rooms.settings)),
    job_id: null,
  };
}

/** An output, looked at as an asset. */
export async function showOutputAsset(rooms: Rooms, call: Call, { job, output }: OutputOfJob): Promise<V2Asset> {
  const { node_id: _node, type: _type, name, ...shown } = await showV2Output(rooms, call, { job, output });
  const created_at = job.completed_at ?? job.created_at;
  return { ...shown, file_path: name, created_at, expires_at: expiryOf(rooms, job) };
}

/** A job that has not ended is kept at least as long as one that ends now. */
function expiryOf({ settings }: Rooms, { expires_at }: JobFacts): string {
  return expires_at ?? toMoment(nowMs() + retentionMs(settings));
}

function showError({ error }: JobFacts): V2Job["error"] {
  if (!error) return null;
  const { code, message, node_id = null, class_type = null } = error;
  return { code, message, node_id, class_type, traceback: null }; // tracebacks hold paths and inputs; they are for operators
}

function metricsOf({ metrics, started_at, completed_at }: JobFacts): V2Job["metrics"] {
  const [startedMs, endedMs] = [fromMoment(started_at ?? undefined), fromMoment(completed_at ?? undefined)];
  const whole = (ms: number | null) => (ms === null ? null : Math.round(ms));
  return {
    queue_ms: whole(metrics.queued_ms),
    execution_ms: startedMs === undefined || endedMs === undefined ? null : endedMs - startedMs,
    prepare_ms: whole(metrics.prepare_ms),
    render_ms: whole(metrics.render_ms),
    store_ms: whole(metrics.store_ms),
  };
}

/** Where a proxy has mounted us, "" at the root: a host-relative link has to say it. */
function mountPath({ baseUrl }: Call): string {
  return new URL(baseUrl).pathname.replace(/\/+$/, "");
}
