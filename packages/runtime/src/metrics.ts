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
  const failures = new Counter({
    name: "comfyq_scrape_failures_total",
    help: "Measurements that could not be taken for a scrape",
    labelNames: ["source"],
    registers,
  });
  const take = async ({ source, fn }: (typeof sources)[number]): Promise<void> => {
    const done = new AbortController();
    const tooLate = sleep(SCRAPE_MS, done.signal).then(() => Promise.reject(new Error("too slow")));
    await Promise.race([Promise.resolve().then(fn), tooLate]).catch(() => failures.inc({ source }));
    done.abort();
    await tooLate.catch(() => undefined); // ended by done.abort(), or counted above
  };
  return {
    counter: (name, help, labels = []) =>
      new Counter({ name: checkName(name, true), help, labelNames: labels, registers }),
    gauge: (name, help, labels = []) => new Gauge({ name: checkName(name), help, labelNames: labels, registers }),
    histogram: (name, help, { labels = [], buckets = SECONDS } = {}) =>
      new Histogram({ name: checkName(name), help, labelNames: labels, buckets: [...buckets], registers }),
    onScrape: (source, fn) => void sources.push({ source, fn }),
    async text() {
      await Promise.all(sources.map(take));
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

function checkName(name: string, counts = false): string {
  if (!/^comfyq(_[a-z0-9]+)+$/.test(name)) {
    throw new Error(`metric "${name}" must be named comfyq_<lowercase_words>; rename it`);
  }
  if (name.endsWith("_total") !== counts) {
    throw new Error(`metric "${name}": the names of counters, and of no others, end in _total; rename it`);
  }
  return name;
}
