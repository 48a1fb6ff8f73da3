import { PythonError } from "@comfyq/comfyui/wire";
import type { Stage } from "../faults/Fault.ts";
import type { Occasion } from "../faults/FaultBoard.ts";
import type { NodeClass, NodeResult } from "../nodes/NodeClass.ts";
import { DynamicGraph } from "./DynamicGraph.ts";
import { ExecutionList } from "./ExecutionList.ts";
import { LifeEnded, WorkerDeath } from "./endings.ts";
import { cycleFault, describeFailure, type NodeFailure } from "./failures.ts";
import type { HistoryRecord } from "./History.ts";
import { Interrupted } from "./Interrupt.ts";
import type { Life } from "./Life.ts";
import { ProgressState } from "./ProgressState.ts";
import { type QueuedPrompt, toTuple } from "./PromptQueue.ts";
import { CacheKeys, type NodeOutcome, type NodeUi, type PromptCache } from "./ResultCache.ts";
import { type RunResult, runNode } from "./runNode.ts";

type Message = readonly [string, Readonly<Record<string, unknown>>];

/** One execution of one prompt (execution.py PromptExecutor): everything that is forgotten when it ends. */
export class PromptRun {
  readonly life: Life;
  readonly prompt: QueuedPrompt;
  readonly graph: DynamicGraph;
  readonly cache: PromptCache;
  readonly list: ExecutionList;
  readonly progress: ProgressState;
  readonly startedAtMs: number;
  /** Nodes that really ran, in order. */
  readonly executed: string[] = [];
  readonly outcomes = new Map<string, NodeOutcome>();
  readonly ui = new Map<string, NodeUi>();
  /** Results of async nodes which have ended but were not taken yet. */
  readonly ended = new Map<string, PromiseSettledResult<NodeResult>>();
  /** Outputs of expanding nodes, which hold links to the nodes they brought. */
  readonly expansions = new Map<string, RunResult>();
  readonly #messages: Message[] = [];

  constructor(life: Life, prompt: QueuedPrompt) {
    const { nodes, folders, clock } = life.parts;
    this.life = life;
    this.prompt = prompt;
    this.graph = new DynamicGraph(prompt.graph);
    this.cache = life.cache.forPrompt(new CacheKeys(this.graph, nodes, folders), Object.keys(prompt.graph));
    this.progress = new ProgressState(prompt.promptId, this.graph);
    this.startedAtMs = clock.monotonicMs();
    this.list = new ExecutionList(this.graph, {
      isCached: (nodeId) => this.cache.get(nodeId) !== undefined,
      isLazy: (nodeId, input) => this.#isLazy(nodeId, input),
      isOutput: (nodeId) => this.classOf(nodeId).isOutput === true,
      isAsync: (nodeId) => this.classOf(nodeId).isAsync === true,
    });
  }

  /**
   * Runs the prompt to its end and returns what history shall say.
   * @throws WorkerDeath | LifeEnded when nobody is left to say anything
   */
  async execute(): Promise<HistoryRecord> {
    const { life, prompt } = this;
    life.interrupt.clear();
    life.clientId = prompt.extraData["client_id"] ?? undefined;
    life.parts.stats.prompts.started(prompt);
    this.#announce("execution_start", { prompt_id: prompt.promptId });
    const cached = Object.keys(prompt.graph).filter((nodeId) => this.cache.get(nodeId));
    this.#announce("execution_cached", { nodes: cached, prompt_id: prompt.promptId });
    for (const output of prompt.outputs) this.list.add(output);
    const failure = await this.#runAll();
    if (failure) this.#announceFailure(failure);
    else this.#announceSuccess();
    life.lastNodeId = undefined;
    return this.#record();
  }

  /** @throws PythonError when the class has gone */
  classOf(nodeId: string): NodeClass {
    const name = this.graph.node(nodeId).class_type;
    const nodeClass = this.life.parts.nodes.get(name);
    if (!nodeClass) throw new PythonError("KeyError", `'${name}'`);
    return nodeClass;
  }

  /** Sends a frame to the client that submitted the prompt; nobody gets it when there is none. */
  tellClient(type: string, data: unknown): void {
    if (this.life.clientId !== undefined) this.life.parts.frames.send(type, data, this.life.clientId);
  }

  /** Sends a frame to the client that submitted the prompt; everybody gets it when there is none. */
  tellClientOrAll(type: string, data: unknown): void {
    this.life.parts.frames.send(type, data, this.life.clientId);
  }

  tellProgressState(): void {
    this.tellClientOrAll("progress_state", this.progress.snapshot());
  }

  /** What a fault may be bound to: this prompt, and the class of the node that runs. */
  occasionOf(nodeId: string | undefined): Occasion {
    const nodeClass = nodeId === undefined ? {} : { nodeClass: this.graph.node(nodeId).class_type };
    return { promptId: this.prompt.promptId, ...nodeClass };
  }

  /** Lets staged faults strike. @throws WorkerDeath | LifeEnded */
  reach(stage: Stage, nodeId?: string): void {
    this.life.reach(stage, this.occasionOf(nodeId));
  }

  metaOf(nodeId: string): NodeUi["meta"] {
    const displayId = this.graph.displayIdOf(nodeId);
    const parent = this.graph.parentOf(nodeId);
    return { node_id: nodeId, display_node: displayId, parent_node: parent, real_node_id: displayId };
  }

  async #runAll(): Promise<NodeFailure | undefined> {
    while (!this.list.isEmpty) {
      const staged = await this.list.stage();
      if (staged.kind === "cycle") return { nodeId: staged.nodeId, cause: cycleFault() };
      try {
        const result = await runNode(this, staged.nodeId);
        if (result === "done") this.list.complete(staged.nodeId);
        this.life.lastSuccess = true;
      } catch (cause) {
        if (cause instanceof WorkerDeath || cause instanceof LifeEnded) throw cause;
        this.life.lastSuccess = false;
        return { nodeId: staged.nodeId, cause };
      }
      await this.life.parts.clock.turn();
      this.life.throwIfEnded();
    }
    return undefined;
  }

  #announceSuccess(): void {
    if (!this.life.parts.profile.listsOnlyOutputNodes) this.#addCachedUi();
    this.life.parts.stats.prompts.ended(this.prompt, "success");
    this.#announce("execution_success", { prompt_id: this.prompt.promptId });
  }

  /** Older versions list every node of the prompt that has UI data in the cache. */
  #addCachedUi(): void {
    for (const nodeId of Object.keys(this.prompt.graph)) {
      const ui = this.cache.get(nodeId)?.ui;
      if (ui && !this.ui.has(nodeId)) this.ui.set(nodeId, { ...ui, meta: this.metaOf(nodeId) });
    }
  }

  #announceFailure(failure: NodeFailure): void {
    const realId = this.graph.displayIdOf(failure.nodeId);
    const where = {
      prompt_id: this.prompt.promptId,
      node_id: realId,
      node_type: this.graph.node(realId).class_type,
      executed: [...this.executed],
    };
    const isInterrupt = failure.cause instanceof Interrupted;
    this.life.parts.stats.prompts.ended(this.prompt, isInterrupt ? "interrupted" : "error");
    if (isInterrupt) this.#announce("execution_interrupted", where, "everybody");
    else this.#announce("execution_error", { ...where, ...describeFailure(this, failure) });
  }

  /** A message that is sent and kept in history. An interrupt of a prompt without client is told to everybody. */
  #announce(type: Stage, data: Record<string, unknown>, strangers: "nobody" | "everybody" = "nobody"): void {
    const stamped = { ...data, timestamp: this.life.parts.clock.nowMs() };
    this.#messages.push([type, stamped]);
    if (strangers === "everybody") this.tellClientOrAll(type, stamped);
    else this.tellClient(type, stamped);
    this.reach(type);
  }

  #isLazy(nodeId: string, input: string): boolean {
    const { required = {}, optional = {} } = this.classOf(nodeId).inputs(this.life.parts.folders);
    return (required[input] ?? optional[input])?.[1]?.["lazy"] === true;
  }

  #record(): HistoryRecord {
    const isSuccess = this.life.lastSuccess;
    return {
      prompt: toTuple(this.prompt),
      outputs: Object.fromEntries([...this.ui].map(([nodeId, { output }]) => [nodeId, output])),
      status: { status_str: isSuccess ? "success" : "error", completed: isSuccess, messages: this.#messages },
      meta: Object.fromEntries([...this.ui].map(([nodeId, { meta }]) => [nodeId, meta])),
    };
  }
}
