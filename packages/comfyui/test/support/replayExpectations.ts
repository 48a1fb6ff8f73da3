import { expect } from "vitest";
import type {
  ComfyError,
  NodeOutputs,
  NodeStarted,
  Preview,
  PromptProgress,
  Rendered,
  Submitted,
} from "../../src/index.ts";
import type { RecordedScenario } from "../../src/recordings/index.ts";

/** Everything that the client concluded from one scenario. */
export interface Concluded {
  submitted?: Submitted;
  rendered?: Rendered;
  error?: ComfyError;
  readonly nodes: NodeStarted[];
  readonly previews: Preview[];
  readonly progress: PromptProgress[];
  readonly outputs: NodeOutputs[];
}

interface Case {
  readonly concluded: Concluded;
  readonly scenario: RecordedScenario;
  readonly version: string;
}

type Expectation = (given: Case) => void;

const file = (node_id: string, filename: string, type = "output") => ({
  node_id,
  key: "images",
  index: 0,
  filename,
  subfolder: "",
  type,
});

/** It succeeded with these files; every node is done at the end, and every output was announced. */
function rendersFiles(...files: ReturnType<typeof file>[]): Expectation {
  return ({ concluded, scenario }) => {
    expect(concluded.error).toBeUndefined();
    expect(concluded.rendered?.outputs).toEqual({ files, values: [] });
    expect(concluded.outputs.flatMap((node) => node.files)).toEqual(files);
    expectComplete(concluded, scenario);
  };
}

function expectComplete({ progress }: Concluded, { client_frames }: RecordedScenario): void {
  const last = progress.at(-1);
  if (client_frames.length === 0 || !last) throw new Error("no progress was told");
  expect(last.nodesDone).toBe(last.nodesTotal);
  const counts = progress.map((one) => one.nodesDone);
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
}

const isCached =
  (expected: boolean): Expectation =>
  ({ concluded }) =>
    expect(concluded.rendered?.isCached).toBe(expected);

const previews =
  (contentType: string, nodeId: string | undefined): Expectation =>
  ({ concluded }) => {
    const preview = {
      ...(nodeId === undefined ? {} : { node_id: nodeId }),
      contentType,
      image: Buffer.from("ffd8ffe0", "hex"),
    };
    expect(concluded.previews).toEqual([preview, preview, preview]);
  };

const steps =
  (nodeId: string, max: number, values: number[]): Expectation =>
  ({ concluded }) => {
    const told = concluded.progress.flatMap(({ node }) =>
      node?.node_id === nodeId && node.max === max ? [node.value] : [],
    );
    expect(told.filter((value, index) => value !== told[index - 1])).toEqual(values);
  };

function fails(code: string, failure?: Record<string, unknown>): Expectation {
  return ({ concluded }) => {
    expect(concluded.submitted).toBeDefined();
    expect(concluded.error?.code).toBe(code);
    if (failure) expect(concluded.error?.facts.failure).toMatchObject(failure);
    else expect(concluded.error?.facts.failure).toBeUndefined();
    expect(JSON.stringify(concluded.error?.facts)).not.toContain("current_inputs");
  };
}

interface Refused {
  readonly refusal: string;
  /** Node id → types of its errors. */
  readonly nodes?: Record<string, string[]>;
  readonly missing?: readonly Record<string, unknown>[];
}

function refuses({ refusal, nodes = {}, missing }: Refused): Expectation {
  return ({ concluded, scenario }) => {
    expect(concluded.submitted).toBeUndefined();
    expect(concluded.error?.code).toBe("rejected");
    const { nodeErrors = {}, ...facts } = concluded.error?.facts ?? {};
    expect(facts.refusal).toBe(refusal);
    expect(facts.missing).toEqual(missing);
    expect(nodeErrors).toEqual(scenario.response["node_errors"]);
    const types = Object.entries(nodeErrors).map(([id, node]) => [id, node.errors.map((error) => error.type)]);
    expect(Object.fromEntries(types)).toEqual(nodes);
  };
}

const all =
  (...expectations: Expectation[]): Expectation =>
  (given) => {
    for (const expectation of expectations) expectation(given);
  };

const byVersion =
  (versions: Record<string, Expectation>): Expectation =>
  (given) => {
    const expectation = versions[given.version];
    if (!expectation) throw new Error(`Nothing is expected of ${given.version}`);
    expectation(given);
  };

const FAILED = "prompt_outputs_failed_validation";

/** What the client must conclude from each recorded scenario; a scenario without an entry fails. */
export const EXPECTED: Readonly<Record<string, Expectation>> = {
  success: all(rendersFiles(file("2", "ComfyUI_00001_.png")), isCached(false)),
  identical_resubmission_fully_cached: all(rendersFiles(file("2", "ComfyUI_00001_.png")), isCached(true)),
  partially_cached: all(rendersFiles(file("2", "other_00001_.png")), isCached(false)),
  progress_and_preview_metadata_client: all(
    rendersFiles(file("3", "ComfyUI_temp_abcde_00001_.png", "temp")),
    previews("image/jpeg", "2"),
    steps("2", 3, [1, 2, 3]),
  ),
  no_client_id_with_preview: all(
    rendersFiles(file("3", "ComfyUI_00002_.png")),
    previews("image/jpeg", undefined),
    steps("2", 3, [1, 2, 3]),
  ),
  node_error: fails("node_failed", {
    node_id: "2",
    class_type: "Raise",
    exception_type: "ValueError",
    exception_message: "boom\n",
  }),
  oom: fails("out_of_memory", { node_id: "2", class_type: "Raise", exception_type: "torch.OutOfMemoryError" }),
  interrupt_in_progress_node: fails("interrupted"),
  interrupt_between_nodes: fails("interrupted"),
  interrupt_without_client_id: fails("interrupted"),
  text_output: ({ concluded }) => {
    const values = [{ node_id: "1", key: "text", index: 0, value: "hello" }];
    expect(concluded.rendered?.outputs).toEqual({ files: [], values });
    expect(concluded.outputs).toEqual([{ node_id: "1", files: [], values }]);
  },
  output_node_without_ui: all(rendersFiles(), isCached(false)),
  output_node_without_ui_cached: all(rendersFiles(), isCached(true)),
  blocked_with_message_then_success: all(rendersFiles(file("4", "ok_00001_.png")), isCached(false)),
  subgraph_expansion: rendersFiles(file("3", "ComfyUI_00003_.png")),
  async_node: rendersFiles(file("3", "ComfyUI_00004_.png")),
  one_output_valid_one_invalid: all(rendersFiles(file("2", "ComfyUI_00005_.png")), ({ concluded }) => {
    expect(concluded.submitted?.nodeErrors["3"]?.dependent_outputs).toEqual(["4"]);
    expect(concluded.progress.at(-1)?.nodesTotal).toBe(2);
  }),
  validation_unknown_node: byVersion({
    "0.33.0": refuses({
      refusal: "missing_node_type",
      missing: [{ kind: "node_class", name: "Nope", node_id: "1", class_type: "Nope" }],
    }),
    "0.3.64": refuses({
      refusal: "invalid_prompt",
      missing: [{ kind: "node_class", name: "Nope", node_id: "1", class_type: "Nope" }],
    }),
  }),
  validation_required_input_missing: refuses({
    refusal: FAILED,
    nodes: { "1": ["required_input_missing", "required_input_missing"] },
  }),
  validation_value_not_in_list: refuses({
    refusal: FAILED,
    nodes: { "1": ["value_not_in_list"] },
    missing: [
      { kind: "model", node_id: "1", class_type: "Loader", input_name: "lora_name", name: "missing.safetensors" },
    ],
  }),
  validation_value_smaller_than_min: refuses({ refusal: FAILED, nodes: { "1": ["value_smaller_than_min"] } }),
  validation_custom_validation_failed: refuses({
    refusal: FAILED,
    nodes: { "1": ["custom_validation_failed"] },
    missing: [{ kind: "file", node_id: "1", class_type: "LoadImage", input_name: "image", name: "nope.png" }],
  }),
  validation_return_type_mismatch: refuses({ refusal: FAILED, nodes: { "2": ["return_type_mismatch"] } }),
  validation_prompt_no_outputs: refuses({ refusal: "prompt_no_outputs" }),
  validation_bad_linked_input: refuses({ refusal: FAILED, nodes: { "2": ["bad_linked_input"] } }),
  validation_link_to_missing_node: refuses({ refusal: FAILED, nodes: { "2": ["exception_during_validation"] } }),
  validation_dependency_cycle: byVersion({
    "0.33.0": refuses({ refusal: FAILED, nodes: { "1": ["dependency_cycle"], "2": ["dependency_cycle"] } }),
    "0.3.64": refuses({ refusal: FAILED }),
  }),
};
