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

/** A terminal on `out`; in colour where that is one. */
export function createTerminal(out: NodeJS.WriteStream, verbosity: Verbosity): Terminal {
  const colors = createColors(out.isTTY && out.hasColors());
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
    if (event.isWarning) return colors.yellow(event.text);
    return verbosity === "all" ? event.text : undefined;
  };
  return {
    say,
    show(event) {
      const text = words(event);
      if (text !== undefined) say(`${colors.dim(event.name.padEnd(11))} ${text}`);
    },
  };
}
