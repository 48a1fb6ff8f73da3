// Streams 340 MB up and 120 MB down, and prints by how many bytes the resident memory grew at its highest.
import { Readable } from "node:stream";
import { openStorage } from "../src/index.ts";
import { CREDENTIALS } from "./stores.ts";

const [url = "", endpoint = ""] = process.argv.slice(2);
const TOTAL_BYTES = 120_000_000;
const PIECE = Buffer.alloc(64 * 1024, "comfyq");
const VIDEO = { contentType: "video/mp4" };
const storage = openStorage(url, endpoint === "" ? {} : { endpoint, credentials: CREDENTIALS });

function body(sizeBytes: number): Readable {
  return Readable.from(
    (function* () {
      for (let left = sizeBytes; left > 0; left -= PIECE.length) yield PIECE.subarray(0, left);
    })(),
  );
}

await storage.put("warm-up", body(20_000_000), VIDEO);
const before = process.memoryUsage.rss();
let highest = before;
const watch = setInterval(() => {
  highest = Math.max(highest, process.memoryUsage.rss());
}, 5);
await storage.put("unknown-length", body(TOTAL_BYTES), VIDEO);
await storage.put("one-request", body(100_000_000), { ...VIDEO, sizeBytes: 100_000_000 });
const ranges = {
  sizeBytes: TOTAL_BYTES,
  open: async (span: { start: number; end: number }) => body(span.end - span.start),
};
await storage.put("from-a-source", ranges, VIDEO);
for await (const _ of (await storage.get("unknown-length")).body);
clearInterval(watch);
process.stdout.write(String(highest - before));
await storage.close();
