import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { sleep } from "./clock.ts";

/** Every metric's name starts so; words are joined by underscores, units stand last (`_seconds`, `_bytes`, `_total`). */
export type MetricName = `comfyq_${string}`;

/** Longest a scrape waits for one `onScrape` function. */
const SCRAPE_MS = 2_000;

/** The measurements of one process, in a registry of its own. */
export interface Metrics {
  /** Only rises; its name ends in `_total`. `.inc({ pool }, 1)` */
  counter<Label extends string = never>(name: MetricName, help: string, labels?: readonly Label[]): Counter<Label>;
  /** Rises and falls. `.set({ pool }, 3)` */
  gauge<Label extends string = never>(name: MetricName, help: string, labels?: readonly Label[]): Gauge<Label>;
  /** A distribution. `.observe({ pool }, 0.25)`; buckets in the unit of the name, seconds from 5 ms to 1 h by default. */
  histogram<Label extends string = never>(
    name: MetricName,
    help: string,
    shape?: { readonly labels?: readonly Label[]; readonly buckets?: readonly number[] },
  ): Histogram<Label>;
  /**
   * Runs before every scrape, to set gauges that are asked for rather than counted. When it throws or takes longer
   * than 2 s the scrape goes on without it and `comfyq_scrape_failures_total{source}` rises.
   */
  onScrape(source: string, fn: () => Promise<void> | void): void;
  /** All of it in Prometheus' text format. */
  text(): Promise<string>;
  /** The Content-Type to answer `text()` with. */
  readonly contentType: string;
}

/** prom-client's own sums, gauges that are named as counters; the same by type stand beside them. */
const MISNAMED = ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"];

/** Seconds: from an HTTP answer to the longest render. */
const SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600];

/**
 * @param options.defaults also measure Node itself (`nodejs_*`, `process_*`); default false
 * @throws Error from `counter`, `gauge`, `histogram` for a name without `comfyq_`, or one that is taken
 */
export function createMetrics({ defaults = false }: { readonly defaults?: boolean } = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const sources: { readonly source: string; readonly fn: () => Promise<void> | void }[] = [];
  if (defaults) collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  const failures = new Counter({
    name: "comfyq_scrape_failures_total",
    help: "Measurements that could not be taken for a scrape",
    labelNames: ["source"],
    registers,
  });
  const named = (kind: Kind, name: string, help: string, labels: readonly string[]) => {
    checkName(kind, name);
    checkWords(name, help, labels);
    return { name, help, labelNames: [...labels], registers };
  };
  const take = async ({ source, fn }: (typeof sources)[number]): Promise<void> => {
    const done = new AbortController();
    const tooLate = sleep(SCRAPE_MS, done.signal).then(() => Promise.reject(new Error("too slow")));
    await Promise.race([Promise.resolve().then(fn), tooLate]).catch(() => failures.inc({ source }));
    done.abort();
    await tooLate.catch(() => undefined); // ended by done.abort(), or counted above
  };
  return {
    counter: (name, help, labels = []) => new Counter(named("counter", name, help, labels)),
    gauge: (name, help, labels = []) => new Gauge(named("gauge", name, help, labels)),
    histogram: (name, help, { labels = [], buckets = SECONDS } = {}) =>
      new Histogram({ ...named("histogram", name, help, labels), buckets: [...buckets] }),
    onScrape: (source, fn) => void sources.push({ source, fn }),
    async text() {
      await Promise.all(sources.map(take));
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

type Kind = "counter" | "gauge" | "histogram";

/** Suffixes that Prometheus gives itself, names of kinds, and units that are no base units. */
const BAD_WORDS =
  /_(?:count|sum|bucket|info|gauge|counter|histogram|summary|ms|millis|milliseconds|minutes|hours|days|kb|mb|gb|kilobytes|megabytes|percent)(?:_|$)/;
/** Prometheus writes these labels itself; a tenant or a job is one of any number, and each would be a series of its own. */
const BAD_LABELS: readonly string[] = ["job", "instance", "le", "quantile", "tenant", "job_id", "id", "url"];

/** Source: prometheus.io/docs/practices/naming. */
function checkName(kind: Kind, name: string): void {
  if (!/^comfyq(_[a-z0-9]+)+$/.test(name))
    throw new Error(`metric "${name}" must be named comfyq_<lowercase_words>; rename it`);
  if (name.endsWith("_total") !== (kind === "counter"))
    throw new Error(`metric "${name}": the names of counters, and of no others, end in _total; rename it`);
  if (kind === "histogram" && !/_(seconds|bytes)$/.test(name))
    throw new Error(`metric "${name}": a histogram is of _seconds or _bytes; rename it`);
  const bad = BAD_WORDS.exec(name)?.[0];
  if (bad !== undefined)
    throw new Error(`metric "${name}": "${bad}" is no base unit, or a word of Prometheus' own; rename it`);
}

function checkWords(name: string, help: string, labels: readonly string[]): void {
  if (help.length < 10) throw new Error(`metric "${name}" needs a help text that says what it measures`);
  const bad = labels.find((label) => BAD_LABELS.includes(label) || !/^[a-z][a-z0-9_]*$/.test(label));
  if (bad !== undefined)
    throw new Error(
      `metric "${name}": a label "${bad}" is Prometheus' own, or would have any number of values; drop it`,
    );
}
