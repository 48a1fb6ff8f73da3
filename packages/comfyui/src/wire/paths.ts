/**
 * Paths of ComfyUI's routes, as a local server has them (server.py add_routes; reference/comfyui-protocol.md §1).
 * A local server also serves each of these under `/api`; the jobs routes exist under `/api` only. Comfy Cloud
 * serves all of them under `/api`, except `/ws`.
 */
export const PATHS = {
  prompt: "/prompt",
  queue: "/queue",
  history: "/history",
  interrupt: "/interrupt",
  free: "/free",
  view: "/view",
  uploadImage: "/upload/image",
  uploadMask: "/upload/mask",
  objectInfo: "/object_info",
  systemStats: "/system_stats",
  features: "/features",
  models: "/models",
  embeddings: "/embeddings",
  extensions: "/extensions",
  settings: "/settings",
  users: "/users",
  userdata: "/userdata",
  logs: "/internal/logs",
  socket: "/ws",
  jobs: "/api/jobs",
  cancelJobs: "/api/jobs/cancel",
  /** Comfy Cloud only; deprecated there, still served (reference/comfyui-protocol.md §6.1). */
  cloudHistory: "/api/history_v2",
  /** Comfy Cloud only: `/api/job/{id}/status`. */
  cloudJob: "/api/job",
} as const;

/** The prefix under which every local route exists a second time, and under which Comfy Cloud serves them. */
export const API_PREFIX = "/api";
