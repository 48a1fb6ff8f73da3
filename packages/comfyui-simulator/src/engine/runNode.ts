import { ExecutionBlocker, type NodeInputs, type NodeResult } from "../nodes/NodeClass.ts";
import { cudaError, outOfMemory } from "./failures.ts";
import { isLink } from "./graph.ts";
import { makeContext } from "./makeContext.ts";
import type { PromptRun } from "./PromptRun.ts";
import type { NodeOutcome, NodeUi } from "./ResultCache.ts";
import { blockerIn, resolveInputs } from "./resolveInputs.ts";

/** What a node returned, with its UI data as history shows it. */
export interface RunResult {
  readonly outputs: readonly unknown[];
  readonly ui: NodeUi | undefined;
}

/**
 * Runs one node, or takes it from the cache, and sends what clients see of that (execution.py execute).
 * `pending` means: it has to be taken up again when what it waits for is there.
 */
export async function runNode(run: PromptRun, nodeId: string): Promise<"done" | "pending"> {
  const cached = run.cache.get(nodeId);
  if (cached) {
    serveCached(run, nodeId, cached);
    return "done";
  }
  const result = await produce(run, nodeId);
  if (!result) return "pending";
  run.cache.set(nodeId, result);
  run.outcomes.set(nodeId, result);
  run.progress.finish(nodeId);
  run.tellProgressState();
  run.executed.push(nodeId);
  run.life.parts.stats.nodeExecuted();
  return "done";
}

function serveCached(run: PromptRun, nodeId: string, cached: NodeOutcome): void {
  const { losesCachedOutputsWithoutClient } = run.life.parts.profile;
  const isLost = losesCachedOutputsWithoutClient && run.life.clientId === undefined;
  if (cached.ui && !isLost) run.ui.set(nodeId, { ...cached.ui, meta: run.metaOf(nodeId) });
  tellExecuted(run, nodeId, cached.ui?.output ?? null);
  run.outcomes.set(nodeId, cached);
  run.progress.finish(nodeId);
  run.tellProgressState();
}

function tellExecuted(run: PromptRun, nodeId: string, output: NodeUi["output"] | null): void {
  const displayNode = run.graph.displayIdOf(nodeId);
  run.tellClient("executed", { node: nodeId, display_node: displayNode, output, prompt_id: run.prompt.promptId });
  run.reach("executed", nodeId);
}

async function produce(run: PromptRun, nodeId: string): Promise<RunResult | undefined> {
  const ended = run.ended.get(nodeId);
  if (ended) {
    run.ended.delete(nodeId);
    if (ended.status === "rejected") throw ended.reason;
    return finish(run, nodeId, ended.value);
  }
  const expansion = run.expansions.get(nodeId);
  if (expansion) {
    run.expansions.delete(nodeId);
    return { ...expansion, outputs: expansion.outputs.map((output) => followLink(run, output)) };
  }
  return begin(run, nodeId);
}

async function begin(run: PromptRun, nodeId: string): Promise<RunResult | undefined> {
  const nodeClass = run.classOf(nodeId);
  announceStart(run, nodeId);
  run.life.checkInterrupt(run.occasionOf(nodeId));
  const inputs = resolveInputs(run, nodeId);
  if (requireLazyInputs(run, nodeId, inputs)) return undefined;
  const blocker = blockerIn(inputs);
  if (blocker) return blocked(run, nodeId, blocker);
  strikeGpuFaults(run, nodeId);
  if (nodeClass.isOutput) await waitOutExecMs(run, nodeId);
  const running = Promise.resolve(nodeClass.run(inputs, makeContext(run, nodeId)));
  if (!nodeClass.isAsync) return finish(run, nodeId, await running);
  const release = run.list.holdBack(nodeId);
  void Promise.allSettled([running]).then(([settled]) => {
    run.ended.set(nodeId, settled);
    release();
  });
  return undefined;
}

async function waitOutExecMs(run: PromptRun, nodeId: string): Promise<void> {
  await run.life.waitOut(run.life.parts.settings.execMs, run.startedAtMs, run.occasionOf(nodeId));
}

function announceStart(run: PromptRun, nodeId: string): void {
  run.progress.start(nodeId);
  run.tellProgressState();
  const displayNode = run.graph.displayIdOf(nodeId);
  run.life.lastNodeId = displayNode;
  run.tellClient("executing", { node: nodeId, display_node: displayNode, prompt_id: run.prompt.promptId });
  run.reach("executing", nodeId);
}

/** Puts the nodes behind lazy inputs that turn out to be needed on the list; false when none is. */
function requireLazyInputs(run: PromptRun, nodeId: string, inputs: NodeInputs): boolean {
  const links = run.graph.node(nodeId).inputs;
  const needed = (run.classOf(nodeId).neededInputs?.(inputs) ?? []).filter((name) => !Object.hasOwn(inputs, name));
  for (const name of needed) {
    const link = links[name];
    if (isLink(link)) run.list.require(link[0], nodeId);
  }
  return needed.length > 0;
}

/** A blocked node counts as run, and passes a silent blocker on in every slot. */
function blocked(run: PromptRun, nodeId: string, blocker: ExecutionBlocker): RunResult {
  if (blocker.message !== undefined) {
    run.tellClientOrAll("execution_error", {
      prompt_id: run.prompt.promptId,
      node_id: nodeId,
      node_type: run.graph.node(nodeId).class_type,
      executed: [...run.executed],
      exception_message: `Execution Blocked: ${blocker.message}`,
      exception_type: "ExecutionBlocked",
      traceback: [],
      current_inputs: [],
      current_outputs: [],
    });
  }
  return { outputs: run.classOf(nodeId).outputs.map(() => new ExecutionBlocker()), ui: undefined };
}

function strikeGpuFaults(run: PromptRun, nodeId: string): void {
  const { faults } = run.life.parts;
  const occasion = run.occasionOf(nodeId);
  if (faults.strike("cuda_next", occasion)) run.life.cudaIsBroken = true;
  if (run.life.cudaIsBroken) throw cudaError();
  if (faults.strike("oom_next", occasion)) throw outOfMemory();
}

/** Sends a node's UI data; undefined when it brought nodes that have to run first. */
function finish(run: PromptRun, nodeId: string, result: NodeResult): RunResult | undefined {
  const collected = collect(run, nodeId, result);
  if (!result.expand) return collected;
  expand(run, nodeId, result);
  return undefined;
}

function collect(run: PromptRun, nodeId: string, result: NodeResult): RunResult {
  const ui = result.ui && { output: result.ui, meta: run.metaOf(nodeId) };
  if (ui) {
    run.ui.set(nodeId, ui);
    tellExecuted(run, nodeId, ui.output);
  }
  return { outputs: result.outputs ?? [], ui };
}

/** Ids of the new nodes are `<node>.<call>.<graph>.<their own>`, as ComfyUI's GraphBuilder makes them. */
function expand(run: PromptRun, nodeId: string, { expand: nodes = {}, outputs = [] }: NodeResult): void {
  const longId = (id: string): string => `${nodeId}.0.0.${id}`;
  const relink = (value: unknown): unknown =>
    isLink(value) && Object.hasOwn(nodes, value[0]) ? [longId(value[0]), value[1]] : value;
  for (const [id, node] of Object.entries(nodes)) {
    const inputs = Object.fromEntries(Object.entries(node.inputs).map(([name, value]) => [name, relink(value)]));
    run.graph.add(longId(id), { ...node, inputs }, nodeId);
  }
  for (const id of Object.keys(nodes)) if (run.classOf(longId(id)).isOutput) run.list.add(longId(id));
  const linked = outputs.map(relink);
  for (const output of linked) if (isLink(output)) run.list.require(output[0], nodeId);
  run.expansions.set(nodeId, { outputs: linked, ui: undefined });
}

function followLink(run: PromptRun, output: unknown): unknown {
  return isLink(output) ? run.outcomes.get(output[0])?.outputs[output[1]] : output;
}
