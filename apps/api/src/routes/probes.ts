import * as z from "zod";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

const Live = z.object({ ok: z.literal(true) }).meta({ id: "Liveness" });
const Ready = z
  .object({
    ok: z.boolean(),
    checks: z.record(z.string(), z.object({ ok: z.boolean(), message: z.string().optional() })),
  })
  .meta({ id: "Readiness" });

/** What orchestrators and Prometheus ask; no key, and no word about any tenant. */
export function probeRoutes(rooms: Rooms): readonly Route[] {
  const shared = { method: "get", scope: "open", tag: "Probes" } as const;
  return [
    route({
      ...shared,
      path: "/livez",
      summary: "Is the process alive?",
      answers: { 200: json("Yes", Live) },
      run: (call) => void call.res.set("Cache-Control", "no-store").json(rooms.health.live()),
    }),
    route({
      ...shared,
      path: "/readyz",
      summary: "Can it take jobs? Asks Redis and the file store",
      answers: { 200: json("Yes", Ready), 503: json("No, and why", Ready) },
      run: async (call) => {
        const readiness = await rooms.health.ready();
        call.res
          .status(readiness.ok ? 200 : 503)
          .set("Cache-Control", "no-store")
          .json(readiness);
      },
    }),
    route({
      ...shared,
      path: "/metrics",
      summary: "Measurements for Prometheus",
      answers: { 200: { description: "Text format 0.0.4", content: { "text/plain": { schema: z.string() } } } },
      run: async (call) => {
        const text = await rooms.metrics.text();
        call.res.set({ "Content-Type": rooms.metrics.contentType, "Cache-Control": "no-store" }).send(text);
      },
    }),
  ];
}
