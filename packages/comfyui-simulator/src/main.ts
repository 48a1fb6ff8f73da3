import { realClock } from "./clock.ts";
import { readConfig } from "./config.ts";
import { SimulatorError } from "./SimulatorError.ts";
import { startSimulator } from "./startSimulator.ts";

/*
 * The simulator as a process. It prints one JSON line `{"url": …}` when it listens. It handles no signal: whoever stops
 * it stops it at once, as a killed ComfyUI would end.
 */
try {
  const config = readConfig();
  if (config.kind === "help") process.stdout.write(`${config.text}\n`);
  else {
    const simulator = await startSimulator({ ...config.options, onCrash: () => process.exit(9) });
    process.stdout.write(`${JSON.stringify({ url: simulator.url, dir: simulator.dir })}\n`);
    if (config.parentPid !== undefined) await outlive(config.parentPid);
  }
} catch (cause) {
  if (!(cause instanceof SimulatorError)) throw cause;
  process.stderr.write(`${cause.message}\n`);
  process.exitCode = 1;
}

/** Ends this process when its parent has gone. */
async function outlive(parentPid: number): Promise<never> {
  for (;;) {
    await realClock.sleep(500);
    if (process.ppid !== parentPid) process.exit(0);
  }
}
