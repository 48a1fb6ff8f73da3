import { expect, test } from "vitest";
import { createMetrics, type MetricName } from "../src/index.ts";

test("counters, gauges and histograms appear in the text, with their labels", async () => {
  const metrics = createMetrics();
  metrics.counter("comfyq_jobs_total", "Jobs that ended", ["status"]).inc({ status: "succeeded" }, 2);
  metrics.gauge("comfyq_queue_jobs", "Jobs that wait").set(7);
  metrics
    .histogram("comfyq_render_seconds", "Render time", { labels: ["gpu"], buckets: [1, 10] })
    .observe({ gpu: "T4" }, 4);
  const text = await metrics.text();
  expect(text).toContain('comfyq_jobs_total{status="succeeded"} 2');
  expect(text).toContain("comfyq_queue_jobs 7");
  expect(text).toContain('comfyq_render_seconds_bucket{le="10",gpu="T4"} 1');
  expect(metrics.contentType).toContain("text/plain");
});

test("every process measures for itself: two registries share nothing", async () => {
  const [one, other] = [createMetrics(), createMetrics({ defaults: true })];
  one.counter("comfyq_x_total", "Things that happened").inc();
  other.counter("comfyq_x_total", "Things that happened");
  expect(await other.text()).toContain("comfyq_x_total 0");
  expect(await other.text()).toContain("process_cpu_seconds_total");
  expect(await one.text()).not.toContain("process_cpu_seconds_total");
});

test.each(["jobs_total", "comfyq_Jobs_total", "comfyq_jobs-total", "comfyq_"])("the name %s is refused", (name) => {
  // The type refuses these already; a name that was put together at run time is not seen by it.
  expect(() => createMetrics().counter(name as MetricName, "x")).toThrow(/rename it/);
});

test("_total is for counters, and for all of them", () => {
  expect(() => createMetrics().counter("comfyq_jobs", "x")).toThrow(/_total/);
  expect(() => createMetrics().gauge("comfyq_jobs_total", "x")).toThrow(/_total/);
});

test("what is asked for at the scrape is fresh, and what fails does not spoil the rest", async () => {
  const metrics = createMetrics();
  const depth = metrics.gauge("comfyq_queue_jobs", "Jobs that wait");
  let waiting = 0;
  metrics.onScrape("queue", async () => {
    waiting += 1;
    depth.set(waiting);
  });
  metrics.onScrape("broken", () => {
    throw new Error("no Redis");
  });
  await metrics.text();
  const text = await metrics.text();
  expect(text).toContain("comfyq_queue_jobs 2");
  expect(text).toContain('comfyq_scrape_failures_total{source="broken"} 2');
});

test.each([
  ["a time that is not in seconds", "comfyq_wait_ms"],
  ["a percentage", "comfyq_busy_percent"],
  ["a suffix that Prometheus writes itself", "comfyq_jobs_count"],
  ["the name of a kind", "comfyq_jobs_gauge"],
])("%s is refused: %s", (_what, name) => {
  expect(() => createMetrics().gauge(name as MetricName, "Jobs that wait")).toThrow(/rename it/);
});

test("a histogram is of a base unit, help is said, and no label has any number of values or is Prometheus' own", () => {
  const metrics = createMetrics();
  expect(() => metrics.histogram("comfyq_render_time", "Render time")).toThrow(/_seconds or _bytes/);
  expect(() => metrics.gauge("comfyq_queue_jobs", "x")).toThrow(/help/);
  for (const label of ["tenant", "job", "instance", "Pool"])
    expect(() => metrics.gauge("comfyq_queue_jobs", "Jobs that wait", [label])).toThrow(/drop it/);
});
