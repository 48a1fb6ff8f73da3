import { expect, test } from "vitest";
import { sleep } from "../src/clock.ts";
import { newId, newSecret, safeEqual, sha256Hex } from "../src/index.ts";

test("a new id is a lowercase uuid v7 and sorts by the time it was made", async () => {
  const first = newId();
  await sleep(2);
  const second = newId();
  for (const id of [first, second])
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(first < second).toBe(true);
  expect(Math.abs(Number.parseInt(second.replaceAll("-", "").slice(0, 12), 16) - Date.now())).toBeLessThan(60_000);
  expect(new Set(Array.from({ length: 1_000 }, newId)).size).toBe(1_000);
});

test("sha256Hex hashes bytes, and text as UTF-8", () => {
  expect(sha256Hex("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(sha256Hex(new Uint8Array([0xc3, 0xa9]))).toBe(sha256Hex("é"));
});

test("a new secret carries its prefix and 256 bits, and never comes twice", () => {
  expect(newSecret("cq_live")).toMatch(/^cq_live_[\w-]{43}$/);
  expect(new Set(Array.from({ length: 100 }, () => newSecret("x"))).size).toBe(100);
});

test("safeEqual tells equal from different, whatever the lengths", () => {
  expect(safeEqual("secret", "secret")).toBe(true);
  expect(safeEqual("", "")).toBe(true);
  for (const other of ["secreu", "Secret", "secret ", "", "s"]) expect(safeEqual("secret", other)).toBe(false);
});
