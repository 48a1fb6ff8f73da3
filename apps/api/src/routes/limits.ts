import { LimitsView } from "@comfyq/contract";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

export function limitsRoute({ producer }: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/limits",
    scope: "read",
    tag: "Fleet",
    summary: "Show your limits, and what you use of them",
    description: "Whoever reaches one gets 429 `limit_reached` or `too_many_requests`, with `Retry-After`.",
    answers: { 200: json("Your own; null: without limit", LimitsView) },
    run: async ({ caller, res }) => void res.json(await producer.limits(caller.tenant)),
  });
}
