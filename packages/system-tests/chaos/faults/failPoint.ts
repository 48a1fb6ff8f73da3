import type { Actor } from "../actor.ts";
import { FAIL_POINTS } from "../failPoints.ts";
import type { Acts, Struck } from "./act.ts";

function ownerOf({ fleet, station, plan }: Struck): Actor {
  const owner = FAIL_POINTS[plan.point];
  return owner === "worker" ? station.worker : fleet[owner];
}

/** A process that dies at a named moment, and is started again by whoever keeps it running. */
export const FAIL_POINT_ACTS: Acts = {
  fail_point: async (struck) => {
    const actor = ownerOf(struck);
    await actor.stop("SIGKILL");
    const livesBefore = actor.lives();
    actor.start({ FAILPOINT: `${struck.plan.point}:kill9@1` });
    return async () => {
      if (actor.lives() > livesBefore + 1) return; // it has struck
      await actor.stop("SIGKILL");
      actor.start();
    };
  },
};
