import { createHash } from "node:crypto";
import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { spool } from "../src/inputs/spool.ts";

// A temporary folder of our own: other workers spool into the shared one at the same time.
process.env["TMPDIR"] = await mkdtemp(join(tmpdir(), "spool-test-"));
const spooled = () => readdir(tmpdir());

test("an input is kept on disk with its hash, can be read twice, and has no name that a killed worker could leave", async () => {
  const bytes = Buffer.alloc(300_000, "abc");
  const before = await spooled();
  {
    await using file = await spool(Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]), {
      label: "x",
      maxBytes: 1e6,
    });
    expect(file.sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect(file.sizeBytes).toBe(bytes.length);
    expect(await spooled()).toEqual(before);
    expect((await buffer(file.open())).equals(bytes)).toBe(true);
    expect((await buffer(file.open())).equals(bytes)).toBe(true);
  }
  expect(await spooled()).toEqual(before);
});

test("two readers of one input at the same time get the same bytes, and one that stops does not stop the other", async () => {
  const bytes = Buffer.alloc(3_000_000, "abcd");
  await using file = await spool(Readable.from([bytes]), { label: "x", maxBytes: 1e7 });
  const cut = file.open();
  cut.once("data", () => cut.destroy());
  const [first, second] = await Promise.all([buffer(file.open()), buffer(file.open())]);
  expect(first.equals(bytes) && second.equals(bytes)).toBe(true);
  expect((await buffer(file.open())).equals(bytes)).toBe(true);
});

test("an input over its limit is refused with the setting's name, and nothing is left", async () => {
  const before = await spooled();
  const tooMuch = spool(Readable.from([Buffer.alloc(11)]), { label: "10.inputs.image", maxBytes: 10 });
  await expect(tooMuch).rejects.toMatchObject({ failure: { code: "input_too_large" } });
  await expect(tooMuch).rejects.toThrow("COMFYQ_MAX_INPUT_BYTES");
  expect(await spooled()).toEqual(before);
});
