import { expect, test } from "vitest";
import { setup } from "./setup.ts";

test("a key is given to one of those who ask at once, is each tenant's own, and is free again when it was given back", async () => {
  await using house = await setup();
  const { producer } = house;
  const asked = await Promise.all(Array.from({ length: 8 }, () => producer.claimKey("acme", "k")));
  expect(asked.filter(Boolean)).toHaveLength(1);
  expect(await producer.claimKey("other", "k")).toBe(true);
  await producer.releaseKey("acme", "k");
  expect(await producer.claimKey("acme", "k")).toBe(true);
  expect(await producer.claimKey("acme", "k")).toBe(false);
});
