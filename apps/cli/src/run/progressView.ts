import type { JobEvent, Progress } from "@comfyq/contract";
import { MultiBar, type SingleBar } from "cli-progress";
import { describeEvent, nodeName } from "./describeProgress.ts";

/** Shows how a job gets on. */
export interface ProgressView {
  readonly show: (event: JobEvent) => void;
  /** Says something beside the job: a cut line, a hint. */
  readonly say: (line: string) => void;
  /** Leaves the terminal as it was; safe to repeat. */
  readonly close: () => void;
}

/** Bars on a terminal, plain lines everywhere else (a log, a pipe). On standard error: standard output is for results. */
export function createProgressView(out: NodeJS.WriteStream): ProgressView {
  return out.isTTY ? barsOn(out) : linesOn(out);
}

function linesOn(out: NodeJS.WriteStream): ProgressView {
  let lastKey = "";
  const say = (line: string): void => {
    out.write(`${line}\n`);
  };
  return {
    say,
    show(event) {
      const line = describeEvent(event);
      if (!line || line.key === lastKey) return;
      lastKey = line.key;
      say(line.text);
    },
    close: () => undefined,
  };
}

const FORMAT = "{label} [{bar}] {value}/{total} {words}";

function barsOn(out: NodeJS.WriteStream): ProgressView {
  const options = { stream: out, format: FORMAT, barsize: 30, hideCursor: true, clearOnComplete: true, fps: 10 };
  const bars = new MultiBar({ ...options, barCompleteChar: "█", barIncompleteChar: "░", gracefulExit: false });
  const nodes = bars.create(1, 0, { label: "nodes", words: "queued" });
  const steps = bars.create(1, 0, { label: "steps", words: "" });
  return {
    say: (line) => bars.log(`${line}\n`),
    show(event) {
      if (event.event === "progress") return showProgress(nodes, steps, event.data);
      const line = describeEvent(event);
      if (!line) return undefined;
      if (event.event === "status") nodes.update({ words: line.text });
      else bars.log(`${line.text}\n`);
    },
    close: () => bars.stop(),
  };
}

function showProgress(nodes: SingleBar, steps: SingleBar, progress: Progress): void {
  nodes.setTotal(Math.max(1, progress.nodes_total));
  nodes.update(progress.nodes_done, { words: nodeName(progress) });
  steps.setTotal(Math.max(1, progress.steps ?? 1));
  steps.update(progress.step ?? 0, { words: "" });
}
