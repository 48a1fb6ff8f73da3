import { expect, test } from "vitest";
import { createSecretBox } from "../src/index.ts";

const KEY = "a key that nobody would guess, ever";
const box = createSecretBox(KEY);

test("what is sealed is opened by every process with the key, for its owner, and by nobody else", () => {
  const sealed = box.seal("geheim ✓", "acme");
  expect(sealed).toMatch(/^v1\.[\w-]+$/);
  expect(createSecretBox(KEY).open(sealed, "acme")).toBe("geheim ✓");
  const refused = { name: "SecretBoxError", code: "cannot_open" };
  expect(() => box.open(sealed, "other")).toThrow(expect.objectContaining(refused));
  expect(() => createSecretBox(`${KEY}!`).open(sealed, "acme")).toThrow(expect.objectContaining(refused));
});

test("what was changed in any character, or is none of ours, is not opened", () => {
  const sealed = box.seal("x", "acme");
  for (let at = 0; at < sealed.length - 1; at += 1) {
    const other = sealed[at] === "A" ? "B" : "A";
    const changed = sealed.slice(0, at) + other + sealed.slice(at + 1);
    expect(() => box.open(changed, "acme"), changed).toThrow(/COMFYQ_SECRETS_KEY/);
  }
  for (const rubbish of ["", "v1.", "v1.AAAA", "v2.AAAA", sealed.slice(0, -4)])
    expect(() => box.open(rubbish, "acme")).toThrow(/cannot be opened/);
});

test("the same text sealed twice looks different, and its digest the same, but only with the same key", () => {
  expect(box.seal("x", "acme")).not.toBe(box.seal("x", "acme"));
  expect(box.digest("x")).toBe(createSecretBox(KEY).digest("x"));
  expect(box.digest("x")).not.toBe(box.digest("y"));
  expect(box.digest("x")).not.toBe(createSecretBox(`${KEY}!`).digest("x"));
});
