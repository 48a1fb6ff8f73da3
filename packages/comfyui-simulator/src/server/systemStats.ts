import type { VersionProfile } from "../versions.ts";

const GIB = 2 ** 30;

/** `GET /system_stats` of a machine with one GPU, which is not there. */
export function systemStats(profile: VersionProfile, argv: readonly string[]): Readonly<Record<string, unknown>> {
  const newer = {
    deploy_environment: "local-git",
    comfy_package_versions: [],
    installed_templates_version: "0.9.98",
    required_templates_version: "0.9.98",
  };
  return {
    system: {
      os: profile.hasJobs ? "linux" : "posix",
      ram_total: 64 * GIB,
      ram_free: 48 * GIB,
      comfyui_version: profile.version,
      required_frontend_version: "1.42.11",
      ...(profile.hasJobs ? newer : { installed_templates_version: "0.1.94", required_templates_version: "0.1.94" }),
      python_version: "3.12.3 (main, Jun 18 2025, 17:59:45) [GCC 13.3.0]",
      pytorch_version: "2.8.0+cu128",
      embedded_python: false,
      argv,
    },
    devices: [
      {
        name: "cuda:0 Simulated GPU : cudaMallocAsync",
        type: "cuda",
        index: 0,
        vram_total: 24 * GIB,
        vram_free: 22 * GIB,
        torch_vram_total: GIB,
        torch_vram_free: GIB / 2,
      },
    ],
  };
}
