import { parseArgs } from "node:util";
import { BENCHES } from "./benches/index.ts";
import type { Bench, Effort } from "./harness/bench.ts";
import { amongNoise } from "./harness/noise.ts";
import { type Line, toLine, toTable } from "./harness/report.ts";

/**
 * `npm run -s bench -- [B1 B4 …] [--naive] [--quick]`: each benchmark prints one JSON line, then all of them a table.
 * What they mean stands in infra/docs/benchmarks.md.
 */
const { values, positionals } = parseArgs({
  options: { naive: { type: "boolean", default: false }, quick: { type: "boolean", default: false } },
  allowPositionals: true,
});

function picked(): readonly Bench[] {
  const unknown = positionals.filter((id) => !BENCHES.some((bench) => bench.id === id));
  if (unknown.length > 0)
    throw new Error(`There is no benchmark ${unknown.join(", ")}; there are ${BENCHES.map(({ id }) => id).join(", ")}`);
  return positionals.length === 0 ? BENCHES : BENCHES.filter(({ id }) => positionals.includes(id));
}

async function measure(bench: Bench, effort: Effort): Promise<Line> {
  const startedAtMs = performance.now();
  const { value, noise } = await amongNoise(() => bench.run(effort));
  return toLine(bench, value, { noise, tookMs: performance.now() - startedAtMs });
}

const lines: Line[] = [];
for (const bench of picked()) {
  const line = await measure(bench, { isQuick: values.quick, withNaive: values.naive });
  lines.push(line);
  console.log(JSON.stringify(line));
}
console.error(`\n${toTable(lines)}`);
