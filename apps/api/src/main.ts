import { createLogger, printReady, readEnv, reportAndExit, runService } from "@comfyq/runtime";
import { ApiEnv } from "./config.ts";
import { startApi } from "./startApi.ts";

const STOP_WITHIN_MS = 15_000;

try {
  const settings = readEnv(ApiEnv, { argv: process.argv.slice(2) });
  const logger = createLogger({ name: "api", level: settings.COMFYQ_LOG_LEVEL });
  await runService({
    name: "api",
    logger,
    stopWithinMs: STOP_WITHIN_MS,
    start: async (service) => {
      const api = await startApi(settings, logger);
      service.onStop("close the API", (signal) => api.close(signal));
      printReady(settings.COMFYQ_PRINT_READY, { ready: "api", url: api.url });
    },
  });
} catch (error) {
  reportAndExit(error);
}
