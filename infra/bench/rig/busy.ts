import { type PromptTimes, promptsOf, type Rig } from "./rig.ts";

/** How busy one GPU was with some prompts. */
export interface Busy {
  /** Time executing by time from the first start to the last end. */
  readonly share: number;
  readonly firstStartAtMs: number;
  readonly firstEndAtMs: number;
  readonly lastEndAtMs: number;
  /** Between the end of each prompt and the start of the next. */
  readonly gapsMs: readonly number[];
  readonly n: number;
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** @param skip so many of the first prompts are not looked at: code that has not run yet is slow, and no GPU's fault */
export function busyOf(prompts: readonly PromptTimes[], skip: number): Busy {
  const spans = prompts
    .flatMap(({ executionStartAtMs: fromMs, executionEndAtMs: toMs }): Span[] =>
      fromMs === undefined || toMs === undefined ? [] : [{ fromMs, toMs }],
    )
    .sort((a, b) => a.fromMs - b.fromMs)
    .slice(skip);
  const [first, last] = [spans[0], spans.at(-1)];
  if (!first || !last) throw new Error("no prompt was executed");
  const executingMs = spans.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
  return {
    share: executingMs / (last.toMs - first.fromMs),
    firstStartAtMs: first.fromMs,
    firstEndAtMs: first.toMs,
    lastEndAtMs: last.toMs,
    gapsMs: spans.slice(1).map(({ fromMs }, at) => fromMs - (spans[at]?.toMs ?? fromMs)),
    n: spans.length,
  };
}

/** How busy each GPU was with these jobs, in the order of the instances. */
export async function busyWith(rig: Rig, jobIds: readonly string[], skip: number): Promise<readonly Busy[]> {
  const wanted = new Set(jobIds);
  const books = await Promise.all(rig.system.instances.map(promptsOf));
  return books.map((prompts) =>
    busyOf(
      prompts.filter(({ job }) => job !== undefined && wanted.has(job)),
      skip,
    ),
  );
}
