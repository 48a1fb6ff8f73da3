import { IcuRun, IcuWorkflowId } from "@comfyq/contract";
import * as z from "zod";

/** What may be sent to `POST /api/v1/workflows/{workflow_id}/runs`. */
export const IcuNewRun = z
  .strictObject({
    workflow_id: IcuWorkflowId.optional().meta({ description: "As in the path, when it is there" }),
    prompt: z.record(z.string(), z.unknown()).meta({ description: "A graph in ComfyUI's API format" }),
    files: z.record(z.string(), z.string()).optional().meta({
      description: 'Where files go, and where they come from: {"/input/a.png": "https://…"}',
    }),
    webhook: z.string().optional().meta({ description: "Told when the run starts and when it ends; sent the run" }),
    accelerator: z
      .enum(["T4", "L4", "L40S", "A10", "A100_40GB", "A100_80GB", "H100"])
      .optional()
      .meta({ description: "The pool of this name in lower case, when there is one; else the default pool" }),
  })
  .meta({ id: "IcuNewRun" });
export type IcuNewRun = z.infer<typeof IcuNewRun>;

export const IcuRuns = z.array(IcuRun);
