import { z } from "zod";

/** One compute device of `GET /system_stats`; memory in bytes. */
export const Device = z.looseObject({
  name: z.string(),
  type: z.string(),
  index: z.number().nullable().optional(),
  vram_total: z.number().optional(),
  vram_free: z.number().optional(),
  torch_vram_total: z.number().optional(),
  torch_vram_free: z.number().optional(),
});
export type Device = z.infer<typeof Device>;

/** `GET /system_stats`; memory in bytes. */
export const SystemStats = z.looseObject({
  system: z.looseObject({
    os: z.string().optional(),
    ram_total: z.number().optional(),
    ram_free: z.number().optional(),
    comfyui_version: z.string().optional(),
    python_version: z.string().optional(),
    pytorch_version: z.string().nullable().optional(),
    argv: z.array(z.string()).optional(),
  }),
  devices: z.array(Device).default([]),
});
export type SystemStats = z.infer<typeof SystemStats>;

/** `GET /features`, and the `feature_flags` frame. `max_upload_size` is in bytes, sometimes a float. */
export const Features = z.looseObject({
  supports_preview_metadata: z.boolean().optional(),
  max_upload_size: z.number().optional(),
});
export type Features = z.infer<typeof Features>;
