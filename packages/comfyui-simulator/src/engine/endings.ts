/** The worker thread has died: nothing is sent, the prompt stays "running" (reference/comfyui-protocol.md §3.1). */
export class WorkerDeath extends Error {
  constructor() {
    super("the worker thread died");
    this.name = "WorkerDeath";
  }
}

/** The server was restarted, closed or crashed while a node ran. */
export class LifeEnded extends Error {
  constructor() {
    super("the server went away");
    this.name = "LifeEnded";
  }
}
