import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readOrCreateSecret, tenantWebhookSecret } from "../src/index.ts";

test("processes that start at once agree on one secret, readable only by its owner", async () => {
  const dir = await mkdtemp(join(tmpdir(), "comfyq-secrets-"));
  const path = join(dir, "secrets", "webhook-secret");
  const secrets = await Promise.all(Array.from({ length: 20 }, () => readOrCreateSecret(path)));
  expect(new Set(secrets).size).toBe(1);
  expect(Buffer.from(secrets[0] ?? "", "base64")).toHaveLength(32);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await rm(dir, { recursive: true });
});

test("every tenant signs with another secret, the same one each time", () => {
  const a = tenantWebhookSecret("master", "a");
  expect(a).toMatch(/^whsec_/);
  expect(tenantWebhookSecret("master", "a")).toBe(a);
  expect(tenantWebhookSecret("master", "b")).not.toBe(a);
  expect(tenantWebhookSecret("other", "a")).not.toBe(a);
});
