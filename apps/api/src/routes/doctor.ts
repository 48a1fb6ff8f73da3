import { DoctorReport } from "@comfyq/contract";
import { examine } from "../doctor/examine.ts";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

export function doctorRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/doctor",
    scope: "admin",
    tag: "Fleet",
    summary: "Examine everything that a job needs",
    description: "Writes and reads a probe file; meant for people, not for probes.",
    answers: { 200: json("What was found, with advice for what is not ok", DoctorReport) },
    run: async (call) => void call.res.set("Cache-Control", "no-store").json(await examine(rooms, call.caller.tenant)),
  });
}
