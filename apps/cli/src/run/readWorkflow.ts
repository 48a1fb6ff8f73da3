import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { isUiFormat, Workflow } from "@comfyq/contract";
import * as z from "zod";
import { CliError } from "../CliError.ts";

/**
 * Reads a workflow in ComfyUI's API format; `-` reads it from standard input.
 * @throws CliError `bad_input` that says what the file is instead
 */
export async function readWorkflow(path: string): Promise<Workflow> {
  const content = await (path === "-" ? text(process.stdin) : readFile(path, "utf8")).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError("bad_input", `The workflow cannot be read: ${why}`, { cause });
  });
  return parseWorkflow(content, path);
}

/** @param path only for the messages */
export function parseWorkflow(content: string, path: string): Workflow {
  const value = parseJson(content, path);
  if (isUiFormat(value))
    throw new CliError("bad_input", `${path} was saved by the editor. In ComfyUI choose File > Export (API) instead.`);
  const parsed = Workflow.safeParse(value);
  if (parsed.success && Object.keys(parsed.data).length > 0) return parsed.data;
  const why = parsed.success ? "it has no nodes" : z.prettifyError(parsed.error);
  throw new CliError("bad_input", `${path} is no workflow in ComfyUI's API format: ${why}`);
}

function parseJson(content: string, path: string): unknown {
  try {
    return JSON.parse(content);
  } catch (cause) {
    throw new CliError("bad_input", `${path} is not JSON: ${cause instanceof Error ? cause.message : ""}`, { cause });
  }
}
