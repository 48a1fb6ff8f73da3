#!/usr/bin/env node
import { oldNodeMessage } from "./oldNodeMessage.ts";

const tooOld = oldNodeMessage(process.version);
if (tooOld !== undefined) {
  process.stderr.write(`${tooOld}\n`);
  process.exit(1);
}
// Not before: an old Node cannot even load what we import.
const { runCommandLine } = await import("./runCommandLine.ts");
await runCommandLine();
