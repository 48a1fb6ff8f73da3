import type { NewJobBody, Workflow } from "@comfyq/contract";
import type { JobKind, JobPlan } from "./workload.ts";

/** A request, and the sizes in bytes of the files it must give, smallest first. */
export interface Order {
  readonly body: NewJobBody;
  readonly sizes: readonly number[];
}

interface Places {
  readonly hook: string;
  readonly pictureUrl: string;
}

/** Progress steps of a render. */
const STEP_MS = 50;
/** Files of different workflows have different sizes: mixed up, they give themselves away. SimOutput writes no less than 4096. */
const SMALLEST_BYTES = 4_200;
const SIZES = 200_000;

/** What a customer sends for a planned job. */
export function orderOf(plan: JobPlan, { hook, pictureUrl }: Places): Order {
  const bytes = SMALLEST_BYTES + ((plan.serial * 4) % SIZES);
  const { workflow, sizes } = MAKERS[plan.kind](plan, bytes);
  const body: NewJobBody = {
    workflow,
    ...(plan.webhook ? { webhook: { url: hook } } : {}),
    ...(plan.kind === "input" ? { inputs: { "10.inputs.image": pictureUrl } } : {}),
    ...(plan.kind === "expiring" ? { expires_in_s: 1, priority: -1 } : {}),
    timeout_s: plan.kind === "overdue" ? 1 : 120,
  };
  return { body, sizes };
}

type Made = { readonly workflow: Workflow; readonly sizes: readonly number[] };

/** Waits with progress, and passes on what it gets; `name` keeps ComfyUI from knowing the result already. */
function sleep(plan: JobPlan, ms = plan.renderMs): Workflow[string] {
  return {
    class_type: "SimSleep",
    inputs: { ms, steps: Math.max(2, Math.round(ms / STEP_MS)), value: `job ${plan.serial}` },
  };
}

function files(bytes: number, count: number, input: readonly [string, number]): Workflow[string] {
  return {
    class_type: "SimOutput",
    inputs: { bytes, seed: bytes, count, filename_prefix: "chaos", input: [...input] },
  };
}

const rendered = (plan: JobPlan, bytes: number): Made => ({
  workflow: { "1": sleep(plan), "2": files(bytes, 1, ["1", 0]) },
  sizes: [bytes],
});

function broken(class_type: string): (plan: JobPlan, bytes: number) => Made {
  return (plan, bytes) => ({
    workflow: { "1": sleep(plan), "2": { class_type, inputs: { input: ["1", 0] } }, "3": files(bytes, 1, ["2", 0]) },
    sizes: [],
  });
}

const MAKERS: Readonly<Record<JobKind, (plan: JobPlan, bytes: number) => Made>> = {
  picture: rendered,
  long: rendered,
  twins: rendered,
  expiring: rendered,
  many_files: (plan, bytes) => ({
    workflow: { "1": sleep(plan), "2": files(bytes, 3, ["1", 0]), "3": files(bytes + 1, 2, ["1", 0]) },
    sizes: [bytes, bytes, bytes, bytes + 1, bytes + 1],
  }),
  values: (plan) => ({
    workflow: { "1": sleep(plan), "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } } },
    sizes: [],
  }),
  expanding: (plan, bytes) => ({
    workflow: {
      "1": sleep(plan),
      "2": { class_type: "SimExpand", inputs: { ms: 100, count: 3, input: ["1", 0] } },
      "3": files(bytes, 1, ["2", 0]),
    },
    sizes: [bytes],
  }),
  input: (plan, bytes) => ({
    workflow: {
      "10": { class_type: "LoadImage", inputs: { image: "from the customer" } },
      "1": sleep(plan),
      "2": files(bytes, 1, ["10", 0]),
      "3": files(bytes + 1, 1, ["1", 0]),
    },
    sizes: [bytes, bytes + 1],
  }),
  failing: broken("SimError"),
  out_of_memory: broken("SimOom"),
  poison: broken("SimCrash"),
  invalid: broken("ThereIsNoSuchNode"),
  impossible: (plan, bytes) => ({ workflow: { "1": sleep(plan, -5), "2": files(bytes, 1, ["1", 0]) }, sizes: [] }),
  overdue: (plan, bytes) => ({ workflow: { "1": sleep(plan, 4_000), "2": files(bytes, 1, ["1", 0]) }, sizes: [bytes] }),
};
