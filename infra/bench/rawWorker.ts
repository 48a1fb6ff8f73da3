import { openRawWorker } from "../../packages/queue/src/testing/index.ts";

// BullMQ's own worker as a process of its own; killed by whoever started it.
await openRawWorker(String(process.argv[2]));
process.stdout.write(`${JSON.stringify({ ready: "raw worker" })}\n`);
