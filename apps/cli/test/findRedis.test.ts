import { expect, test } from "vitest";
import { findRedis, type RedisProbes } from "../src/up/findRedis.ts";
import { obtainRedis } from "../src/up/obtainRedis.ts";
import { parseOsRelease } from "../src/up/redisProbes.ts";

const V7 = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d";
const VALKEY = "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1";

/** A machine with these programs (name → what `--version` prints) and nothing else. */
function machine(programs: Record<string, string>, rest: Partial<RedisProbes> = {}): RedisProbes {
  return {
    which: async (name) => (name in programs ? `/usr/bin/${name}` : undefined),
    versionText: async (path) => programs[path.slice("/usr/bin/".length)] ?? "",
    dockerVersion: async () => undefined,
    platform: "linux",
    isRoot: false,
    osWords: async () => ["debian"],
    ...rest,
  };
}

const runs = { dockerVersion: async () => "28.2.2" };
const root = { isRoot: true };

test("redis-server on PATH comes first, whatever else there is", async () => {
  const everything = machine({ "redis-server": V7, "valkey-server": VALKEY, docker: "" }, { ...runs, ...root });
  expect(await findRedis(everything)).toMatchObject({
    kind: "found",
    program: { kind: "server", path: "/usr/bin/redis-server", version: "7.0.15" },
  });
});

test("valkey-server will do, before Docker", async () => {
  const found = await findRedis(machine({ "valkey-server": VALKEY, docker: "" }, runs));
  expect(found).toMatchObject({ program: { path: "/usr/bin/valkey-server", version: "8.0.1" } });
});

test("a Redis older than 6.2 is passed over, and that is said", async () => {
  const old = machine({ "redis-server": V7.replace("7.0.15", "6.0.16"), docker: "" }, runs);
  const found = await findRedis(old);
  expect(found).toMatchObject({ program: { kind: "docker", version: "28.2.2" } });
  expect(found.notes.join()).toContain("6.0.16");
  expect(await findRedis(machine({ "redis-server": V7.replace("7.0.15", "6.2.0") }))).toMatchObject({ kind: "found" });
});

test("Docker counts only when its engine runs; then comes Debian's package, but only for root on Debian", async () => {
  expect(await findRedis(machine({ docker: "" }, { ...runs, ...root }))).toMatchObject({ program: { kind: "docker" } });
  const away = await findRedis(machine({ docker: "" }, root));
  expect(away.kind).toBe("install");
  expect(away.notes.join()).toContain("engine does not answer");
  expect((await findRedis(machine({}, root))).kind).toBe("install");
  expect((await findRedis(machine({}))).kind).toBe("none");
  expect((await findRedis(machine({}, { ...root, osWords: async () => ["fedora"] }))).kind).toBe("none");
  expect((await findRedis(machine({}, { ...root, platform: "darwin" }))).kind).toBe("none");
});

test("tests, which kill their Redis, are not given one in Docker", async () => {
  expect((await findRedis(machine({ docker: "" }, { ...runs, ...root }), "server")).kind).toBe("install");
});

test.each([
  ["linux", ["ubuntu", "debian"], "sudo apt-get install -y redis-server"],
  ["linux", ["fedora"], "sudo dnf install -y valkey"],
  ["linux", ["alpine"], "sudo apk add redis"],
  ["darwin", [], "brew install redis"],
  ["linux", ["unheard-of"], "https://redis.io"],
])("without any, the human is told what to type on %s %j", async (platform, words, command) => {
  const found = await findRedis(machine({}, { platform, osWords: async () => words }));
  expect(found.kind === "none" && found.advice).toContain(command);
});

test("the ids of an os-release are read with and without quotes", () => {
  expect(parseOsRelease('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="21"\n')).toEqual([
    "linuxmint",
    "ubuntu",
    "debian",
  ]);
});

test("after Debian's package is in, its server is used; what was done is said", async () => {
  const programs: Record<string, string> = {};
  const said: string[] = [];
  const install = async (say: (line: string) => void) => {
    say("installing");
    programs["redis-server"] = V7;
  };
  const program = await obtainRedis({ probes: machine(programs, root), install }, "any", (line) => said.push(line));
  expect(program).toMatchObject({ kind: "server", path: "/usr/bin/redis-server" });
  expect(said).toEqual(["installing"]);
});

test("a package that brings no server is an error, not a second try", async () => {
  let installs = 0;
  const install = async () => {
    installs += 1;
  };
  await expect(obtainRedis({ probes: machine({}, root), install }, "any", () => undefined)).rejects.toThrow(
    /installed/,
  );
  expect(installs).toBe(1);
});
