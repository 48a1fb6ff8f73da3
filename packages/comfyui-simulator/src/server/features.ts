import type { VersionProfile } from "../versions.ts";

/** `GET /features`, and what the server answers to a client's feature flags (comfy_api/feature_flags.py). */
export function featuresOf(profile: VersionProfile, maxUploadBytes: number): Readonly<Record<string, unknown>> {
  const always = { supports_preview_metadata: true, max_upload_size: maxUploadBytes };
  // 0.3.64 and 0.33.0 were recorded; where between them the others came is not known, so: with the jobs API.
  if (!profile.hasJobs) return always;
  return {
    ...always,
    supports_model_type_tags: true,
    extension: { manager: { supports_v4: true } },
    node_replacements: true,
    assets: false,
  };
}
