import { createHash } from "node:crypto";
import { json } from "node:stream/consumers";
import { jobPrefix, Manifest, manifestKey } from "@comfyq/contract";
import type { Accepted } from "./customer.ts";
import type { Fleet } from "./fleet.ts";

/** Notes what the store holds of these jobs: every object with its bytes' hash, and each manifest. */
export async function noteStore({ store, history }: Fleet, jobs: readonly Accepted[]): Promise<void> {
  for (const { id: job } of jobs) {
    for await (const { key, sizeBytes, lastModifiedMs } of store.list(jobPrefix(job))) {
      if (key === manifestKey(job)) {
        const { epoch, outputs } = Manifest.parse(await json((await store.get(key)).body));
        const files = outputs.flatMap((output) => ("key" in output ? [output] : []));
        const listed = files.map((file) => ({ key: file.key, sha256: file.sha256, size: file.size_bytes }));
        history.note("store", { op: "manifest", job, epoch, outputs: listed });
        continue;
      }
      const hash = createHash("sha256");
      for await (const chunk of (await store.get(key)).body) hash.update(chunk);
      const sha256 = hash.digest("hex");
      history.note("store", { op: "object", job, key, sha256, size: sizeBytes, storedAt: lastModifiedMs });
    }
  }
}
