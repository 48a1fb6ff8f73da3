import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { nowMs } from "@comfyq/runtime";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { fromWhereCalled } from "../config.ts";
import { explainSignature } from "../webhooks/explainSignature.ts";
import { parseHeader } from "../webhooks/parseHeader.ts";

/** The options of `comfyq webhooks verify`, as commander gives them. */
export interface VerifyOptions {
  readonly secret: string;
  readonly header?: readonly string[];
  readonly tolerance: number;
  readonly at?: string;
}

const EXIT_OF = { genuine: EXIT.succeeded, not_genuine: EXIT.failed, bad_input: EXIT.badInput } as const;

/** `comfyq webhooks verify`: checks a webhook's signature, and says which part is wrong. */
export async function verifyWebhook(file: string, options: VerifyOptions): Promise<ExitCode> {
  const { verdict, steps } = explainSignature({
    secret: options.secret,
    headers: new Map((options.header ?? []).map(parseHeader).map(([name, value]) => [name.toLowerCase(), value])),
    body: await readBody(file),
    nowMs: momentOf(options.at),
    toleranceS: options.tolerance,
  });
  const end = {
    genuine: "It is genuine.",
    not_genuine: "It is not genuine: refuse it.",
    bad_input: "Nothing was checked.",
  };
  process.stdout.write(`${[...steps, end[verdict]].join("\n")}\n`);
  return EXIT_OF[verdict];
}

async function readBody(file: string): Promise<Buffer> {
  if (file === "-") return buffer(process.stdin);
  return readFile(fromWhereCalled(file)).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError("bad_input", `The body cannot be read: ${why}`, { cause });
  });
}

function momentOf(at: string | undefined): number {
  const ms = at === undefined ? nowMs() : Date.parse(at);
  if (Number.isNaN(ms)) throw new CliError("bad_input", `--at ${at} is no moment; write it as 2027-01-31T09:00:00Z`);
  return ms;
}
