import { readFile } from "node:fs/promises";
import type { Workflow } from "@comfyq/contract";
import { CliError } from "../CliError.ts";
import type { BatchRunOptions } from "../commands/batch.ts";
import { fromWhereCalled } from "../config.ts";
import { jobFields } from "../run/jobOptions.ts";
import { parseParams, splitAssignment } from "../run/parseParam.ts";

/**
 * The body of POST /v1/batches; whether its rows make sense is for the API to say, of all of them.
 * @throws CliError `bad_input` for a file that cannot be read, or rows in two ways
 */
export async function batchBody(workflow: Workflow, options: BatchRunOptions): Promise<object> {
  const { rows, grid } = options;
  if ((rows === undefined) === (grid === undefined))
    throw new CliError(
      "bad_input",
      "Say what the rows are: --rows <file.csv|file.jsonl>, or --grid path=a,b for each axis",
    );
  return {
    workflow,
    params: parseParams(workflow, options.param ?? []),
    ...jobFields(options),
    ...(rows !== undefined && (await readRowsFile(rows))),
    ...(grid !== undefined && { grid: gridOf(workflow, grid) }),
  };
}

async function readRowsFile(path: string): Promise<object> {
  const text = await readFile(fromWhereCalled(path), "utf8").catch((cause: unknown) => {
    throw new CliError("bad_input", `The rows cannot be read: ${cause instanceof Error ? cause.message : ""}`, {
      cause,
    });
  });
  return /\.(jsonl|ndjson)$/i.test(path) ? { jsonl: text } : { csv: text };
}

/** `6.inputs.text=["a","b"]` or, where no value holds a comma, `3.inputs.seed=1,2,3`. */
function gridOf(workflow: Workflow, assignments: readonly string[]): Record<string, unknown[]> {
  return Object.fromEntries(
    assignments.map((text) => {
      const [path, list] = splitAssignment(text, "--grid");
      const values =
        parseList(list) ?? list.split(",").map((value) => parseParams(workflow, [`${path}=${value}`])[path]);
      return [path, values];
    }),
  );
}

function parseList(text: string): unknown[] | undefined {
  if (!text.trim().startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
