import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import type { WebSocket } from "ws";
import { Cloud } from "./cloud/Cloud.ts";
import type { EngineParts } from "./engine/EngineParts.ts";
import { Life } from "./engine/Life.ts";
import type { Fault } from "./faults/Fault.ts";
import { FaultBoard } from "./faults/FaultBoard.ts";
import { Folders } from "./files/Folders.ts";
import { HistoryFile } from "./HistoryFile.ts";
import { ALL_NODES } from "./nodes/allNodes.ts";
import { NodeRegistry } from "./nodes/NodeRegistry.ts";
import { RECORDED_NODES } from "./nodes/recordedNodes.ts";
import type { ResolvedOptions } from "./SimulatorOptions.ts";
import { Stats } from "./Stats.ts";
import { featuresOf } from "./server/features.ts";
import { HttpServer } from "./server/HttpServer.ts";
import { SocketHub } from "./server/SocketHub.ts";
import { profileOf } from "./versions.ts";

/** A simulated ComfyUI: what stays over restarts, the present {@link Life}, and the port. */
export class Simulation {
  readonly options: ResolvedOptions;
  readonly parts: EngineParts;
  /** Set when it speaks as Comfy Cloud. */
  readonly cloud: Cloud | undefined;
  readonly #hub = new SocketHub();
  readonly #server: HttpServer;
  readonly #logReaders = new Set<string>();
  readonly #history: HistoryFile;
  #life: Life;
  #port = 0;
  #state: "up" | "down" | "closed" = "down";
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ResolvedOptions) {
    const profile = profileOf(options.version);
    const { execMs, stepMs, loadMs, speed, gcEvery10sMs, previews, clock } = options;
    this.options = options;
    this.#history = new HistoryFile(options.historyFile, clock);
    const folders = new Folders({
      base: options.dir,
      models: options.modelsDir,
      bundledModels: options.models,
      containsInputPaths: profile.containsInputPaths,
    });
    this.cloud = options.cloud && new Cloud(options.cloud, folders);
    this.parts = {
      profile,
      clock,
      folders,
      nodes: new NodeRegistry([...ALL_NODES, ...(options.recordedNodes ? RECORDED_NODES : []), ...options.nodes]),
      faults: new FaultBoard(() => this.#heal()),
      stats: new Stats(clock, this.#history),
      frames: this.cloud?.framesFor(this.#hub) ?? this.#hub,
      settings: {
        execMs,
        stepMs,
        loadMs,
        speed,
        gcEvery10sMs,
        previews,
        cache: options.cache ?? (profile.keepsResults ? "ram" : "classic"),
      },
    };
    for (const fault of options.faults) this.parts.faults.add(fault);
    this.#server = new HttpServer(this);
    this.#life = this.#beginLife();
  }

  get life(): Life {
    return this.#life;
  }

  get port(): number {
    return this.#port;
  }

  /** @throws SimulatorError `port_taken` */
  async listen(): Promise<void> {
    await this.cloud?.files.listen(this.options.host);
    this.#port = await this.#server.listen(this.options.host, this.#port || this.options.port);
    this.#state = "up";
    this.#history.booted(this.#port, this.cloud ? { dialect: "cloud" } : {});
  }

  /** Forgets everything in memory, drops all connections, wipes `temp`, and is back on the same port. */
  async restart(downMs = 0): Promise<void> {
    if (this.#state !== "up") return;
    this.#state = "down";
    this.parts.stats.restarted();
    this.#tellOfCrash();
    await this.#stop();
    if (downMs > 0) await this.parts.clock.sleep(downMs);
    if (this.#isClosed()) return;
    this.parts.folders.wipeTemp();
    this.#life = this.#beginLife();
    await this.listen();
  }

  /** Ends as a killed process does; what that means decides whoever started the simulator. */
  crash(): void {
    this.#tellOfCrash();
    if (this.options.onCrash) this.options.onCrash();
    else {
      this.#state = "closed";
      void this.#stop();
    }
  }

  /** Stops for good, and removes the folder if it is one of its own making. */
  async close(): Promise<void> {
    this.#state = "closed";
    await this.#stop();
    await this.cloud?.files.close();
    if (this.options.isDirTemporary) rmSync(this.options.dir, { recursive: true, force: true });
  }

  #tellOfCrash(): void {
    const { running, pending } = this.#life.queue;
    this.parts.stats.prompts.crashed(running, pending);
  }

  async #stop(): Promise<void> {
    const ended = this.#life.end();
    this.#hub.dropAll();
    this.#logReaders.clear();
    await Promise.all([ended, this.#server.close()]);
  }

  /** Asked after a pause, in which it may have been closed. */
  #isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Takes a new websocket in; without an id it gets one of 32 hex digits. */
  async welcome(socket: WebSocket, clientId: string): Promise<void> {
    const sid = clientId || randomUUID().replaceAll("-", "");
    const { stats, profile } = this.parts;
    stats.websocketOpened();
    socket.on("close", () => stats.websocketClosed());
    await this.#hub.welcome(socket, sid, {
      status: this.#life.status(),
      node: this.#life.clientId === sid ? this.#life.lastNodeId : undefined,
      features: featuresOf(profile, this.options.maxUploadBytes),
    });
    for (const fault of this.parts.faults.strikeAt("connected", {})) this.#act(fault, sid);
  }

  /** Waits while the server's one loop is busy with something else. */
  loopIsFree(): Promise<void> {
    return this.#loop;
  }

  /** Keeps everybody waiting as long as the validation of a prompt takes. */
  async blockLoop(): Promise<void> {
    const durationMs = this.parts.faults.strike("validate_ms")?.ms ?? this.options.validateMs;
    if (durationMs <= 0) return;
    this.#loop = this.#loop.then(() => this.parts.clock.sleep(durationMs));
    await this.#loop;
  }

  subscribeToLogs(clientId: string, isWanted: boolean): void {
    if (isWanted) this.#logReaders.add(clientId);
    else this.#logReaders.delete(clientId);
  }

  #beginLife(): Life {
    const life = new Life(this.parts, (fault) => this.#act(fault, life.clientId));
    life.log.onLine = (entry) => {
      const size = { cols: 80, rows: 24 };
      for (const reader of this.#logReaders) this.#hub.send("logs", { entries: [entry], size }, reader);
    };
    life.work();
    return life;
  }

  #act(fault: Fault, clientId: unknown): void {
    if (fault.kind === "ws_drop") this.#hub.drop(clientId);
    else if (fault.kind === "ws_silent") this.#hub.silence(clientId);
    else if (fault.kind === "ws_mute") this.#hub.mute(clientId);
    else if (fault.kind === "frames_stop") this.#hub.stop();
    else if (fault.kind === "crash") this.crash();
    else if (fault.kind === "restart") void this.restart(fault.downMs);
  }

  #heal(): void {
    this.#life.heal();
    this.#hub.heal();
    this.#server.heal();
  }
}
