import type { TcpProxy } from "../../test/tcpProxy.ts";
import type { Act, Acts, Struck } from "./act.ts";

type Choose = (struck: Struck) => TcpProxy;

const workerToRedis: Choose = ({ station }) => station.toRedis;
const apiToRedis: Choose = ({ fleet }) => fleet.apiToRedis;
const toComfyUi: Choose = ({ station }) => station.toComfyUi;

/** For every chunk that goes to the target. */
const SLOW_MS = 150;

/** Nothing passes, and nobody is told: a partition. */
function freeze(choose: Choose): Act {
  return (struck) => {
    choose(struck).freeze();
    return () => choose(struck).thaw();
  };
}

/** Connections are reset and refused. */
function refuse(choose: Choose): Act {
  return async (struck) => {
    await choose(struck).refuse();
    return () => choose(struck).thaw();
  };
}

function slow(choose: Choose): Act {
  return (struck) => {
    choose(struck).delay(SLOW_MS);
    return () => choose(struck).delay(0);
  };
}

/** What can happen to the lines between the processes. */
export const LINE_ACTS: Acts = {
  freeze_worker_redis: freeze(workerToRedis),
  cut_worker_redis: refuse(workerToRedis),
  slow_worker_redis: slow(workerToRedis),
  freeze_api_redis: freeze(apiToRedis),
  cut_api_redis: refuse(apiToRedis),
  freeze_comfyui: freeze(toComfyUi),
  cut_comfyui: refuse(toComfyUi),
  slow_comfyui: slow(toComfyUi),
};
