import { existsSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { CliError } from "../CliError.ts";
import type { ChildCommand, ReadyFacts } from "./startRun.ts";
import type { ChildPlan } from "./superviseChild.ts";

/** The clone we run from; this file stands four folders deep in it, compiled or not. */
const CLONE = join(import.meta.dirname, "../../../..");

/** Where Node keeps what it has compiled; gone with node_modules. */
const COMPILED = join(CLONE, "node_modules/.cache/comfyq");

/** Compiled: start the others compiled too. From source: from source. */
const FROM_SOURCE = import.meta.filename.endsWith(".ts");

const READY_MS = 60_000;

/** How to run the main.js (or main.ts) of a room, say `apps/api`, with the Node that runs us. */
export function roomProgram(room: string): { readonly path: string; readonly args: readonly string[] } {
  const main = join(CLONE, room, FROM_SOURCE ? "src/main.ts" : "dist/main.js");
  if (!existsSync(main)) throw new CliError("broken", `${main} is not there; build first: npm start does it`);
  const how = FROM_SOURCE ? ["--conditions=@comfyq/source"] : ["--enable-source-maps"];
  return { path: process.execPath, args: [...how, main] };
}

type Env = Readonly<Record<string, string | undefined>>;

/** A process of ours that prints a line when it is up; `env` and `args` are asked for at every start. */
export function roomPlan<Ready>(
  { name, room, args, env }: { name: string; room: string; args?: () => readonly string[]; env: () => Env },
  readyLine: z.ZodType<Ready>,
): ChildPlan<Ready> {
  const program = roomProgram(room);
  return {
    name,
    command: (): ChildCommand => ({
      path: program.path,
      args: [...program.args, ...(args?.() ?? [])],
      env: {
        NODE_COMPILE_CACHE: COMPILED, // a third off every start, also of one that died
        ...env(),
        COMFYQ_PRINT_READY: "1",
        COMFYQ_DIE_WITH_PARENT: String(process.pid),
      },
    }),
    untilReady: async (line: Promise<ReadyFacts>) => readyLine.parse(await line),
    readyWithinMs: READY_MS,
  };
}

/** What the API and the simulator tell when they are up: where they are. */
export const ReadyAtUrl = z.object({ url: z.url() });
/** What the others tell. */
export const ReadyOnly = z.object({ ready: z.string() });
