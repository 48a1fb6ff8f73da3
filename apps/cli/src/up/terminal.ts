import { monotonicMs } from "@comfyq/runtime";
import { createColors } from "picocolors";
import type { ChildEvent } from "./superviseChild.ts";

/** Which lines of the processes a human sees: warnings and worse, or all. */
export type Verbosity = "warnings" | "all";

/** Where the launcher speaks to a human. */
export interface Terminal {
  readonly say: (line: string) => void;
  /** Shows what happened to a process, as far as the human wants to know. */
  readonly show: (event: ChildEvent) => void;
}

/** The same warning of the same process is shown again only after this long; the log has all of them. */
const REPEAT_MS = 10_000;

/** A terminal on `out`; in colour where that is one. */
export function createTerminal(out: NodeJS.WriteStream, verbosity: Verbosity): Terminal {
  const colors = createColors(out.isTTY && out.hasColors());
  const isRepeated = rememberRepeats();
  out.on("error", () => undefined); // a terminal that was closed must not keep us from stopping in order
  const say = (line: string): void => {
    out.write(`${line}\n`);
  };
  const words = (event: ChildEvent): string | undefined => {
    if (event.kind === "back") return colors.green("is running again");
    if (event.kind === "died") {
      const wait = `${event.restartInMs / 1_000} s`;
      return colors.red(`${event.how} without being asked to; starting it again in ${wait}`);
    }
    if (verbosity === "all") return event.isWarning ? colors.yellow(event.text) : event.text;
    return event.isWarning && !isRepeated(event) ? colors.yellow(event.text) : undefined;
  };
  return {
    say,
    show(event) {
      const text = words(event);
      if (text !== undefined) say(`${colors.dim(event.name.padEnd(11))} ${text}`);
    },
  };
}

/** A neighbour that is away is reported at every try. */
function rememberRepeats(): (line: { readonly name: string; readonly text: string }) => boolean {
  const shown = new Map<string, { readonly text: string; readonly atMs: number }>();
  return ({ name, text }) => {
    const last = shown.get(name);
    if (last?.text === text && monotonicMs() - last.atMs < REPEAT_MS) return true;
    shown.set(name, { text, atMs: monotonicMs() });
    return false;
  };
}
