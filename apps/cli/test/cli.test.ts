import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { KeysFile } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";
import { expect, test } from "vitest";
import { cli, node, runToEnd, temporaryFolder } from "./startFixture.ts";

const comfyq = (args: readonly string[], env?: Record<string, string>) => runToEnd(node, [...cli, ...args], env);

/** A port of this machine where nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === "object" && address ? address.port : 0;
}

test("--help lists every command, and ends well", async () => {
  const { code, stdout } = await comfyq(["--help"]);
  expect(code).toBe(0);
  for (const command of ["up", "run", "jobs", "watch", "cancel", "retry", "doctor", "keys", "simulator"])
    expect(stdout).toMatch(new RegExp(`^ {2}${command} `, "m"));
});

test("up --help documents the settings; up knows no other flags, and says so with exit code 2", async () => {
  const [help, mistake] = await Promise.all([comfyq(["up", "--help"]), comfyq(["up", "--port", "9000"])]);
  expect(help).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ {2}COMFYQ_PORT .*8190/m) });
  expect(mistake).toMatchObject({ code: 2, stderr: expect.stringContaining("unknown option '--port'") });
});

test("up with bad settings tells all of them and starts nothing", async () => {
  await using folder = await temporaryFolder();
  const env = { COMFYQ_PORT: "-1", REDIS_URL: "nowhere", COMFYQ_DATA_DIR: folder.path };
  const { code, stdout, stderr } = await comfyq(["up"], env);
  expect(code).toBe(1);
  expect(stderr).toMatch(/COMFYQ_PORT.*REDIS_URL.*up --help/s);
  expect(stderr).not.toContain("    at ");
  expect([stdout, await readdir(folder.path)]).toEqual(["", []]);
});

test("without an API a command says where it looked and how to start one: exit code 5", async () => {
  const COMFYQ_URL = `http://127.0.0.1:${await deadPort()}`;
  const { code, stderr } = await comfyq(["doctor"], { COMFYQ_URL });
  expect(stderr).toBe(
    `No comfyq answers at ${COMFYQ_URL} (ECONNREFUSED).\n` +
      "Start it with `npm start`, or say where it is:  COMFYQ_URL=http://host:8190\n",
  );
  expect(code).toBe(5);
});

test("a file that is no workflow is refused before anybody is asked: exit code 2", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "w.json");
  await writeFile(file, '{"nodes":[],"links":[]}');
  expect(await comfyq(["run", file])).toMatchObject({ code: 2, stderr: expect.stringContaining("Export (API)") });
});

test("a key is shown once, kept as a hash in a file of one's own, listed without it, and revoked", async () => {
  await using folder = await temporaryFolder();
  const env = { COMFYQ_DATA_DIR: join(folder.path, "data") };
  const file = join(folder.path, "data/keys.json");
  const made = await comfyq(["keys", "create", "--name", "me", "--scope", "submit", "--scope", "read"], env);
  const key = made.stdout.trim();
  expect(key).toMatch(/^cq_live_[\w-]{43}$/);
  const text = await readFile(file, "utf8");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(text).not.toContain(key);
  expect(KeysFile.parse(JSON.parse(text)).keys).toEqual([
    {
      name: "me",
      sha256: sha256Hex(key),
      tenant: "default",
      scopes: ["submit", "read"],
      created_at: expect.stringMatching(/^20.*Z$/),
      expires_at: null,
    },
  ]);

  const listed = await comfyq(["keys", "list"], env);
  expect(listed.stdout).toMatch(/^NAME .*\nme {4}default {2}submit,read /);
  expect(listed.stdout).not.toContain(sha256Hex(key));
  expect((await comfyq(["keys", "revoke", "me"], env)).code).toBe(0);
  expect(KeysFile.parse(JSON.parse(await readFile(file, "utf8"))).keys).toEqual([]);
});
