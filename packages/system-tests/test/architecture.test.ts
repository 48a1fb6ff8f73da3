import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, extname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";

/**
 * Who may import whom. `uses`: in src and as a dependency; `testsUse`: also in tests, as a devDependency. `name/sub` allows
 * that one entry point and nothing else; tests may use every entry point of a room they may use. A new room starts here.
 */
const ROOMS: Readonly<Record<string, { readonly uses: readonly string[]; readonly testsUse: readonly string[] }>> = {
  "packages/contract": { uses: [], testsUse: [] },
  "packages/comfyui": { uses: [], testsUse: [] },
  "packages/storage": { uses: [], testsUse: ["fake-s3"] },
  "packages/media": { uses: [], testsUse: [] },
  "packages/runtime": { uses: [], testsUse: [] },
  "packages/fake-s3": { uses: [], testsUse: [] },
  "packages/queue": { uses: ["contract"], testsUse: [] },
  "packages/comfyui-simulator": { uses: ["comfyui/wire"], testsUse: ["comfyui"] },
  "apps/api": {
    uses: ["contract", "queue", "comfyui/wire", "storage", "media", "runtime"],
    testsUse: ["comfyui-simulator", "fake-s3", "queue"],
  },
  "apps/worker": {
    uses: ["contract", "queue", "comfyui", "storage", "media", "runtime"],
    testsUse: ["comfyui-simulator", "fake-s3", "queue"],
  },
  "apps/dispatcher": { uses: ["contract", "queue", "storage", "runtime"], testsUse: ["fake-s3", "queue"] },
  "apps/cli": { uses: ["contract", "runtime"], testsUse: ["comfyui-simulator", "fake-s3"] },
  "packages/system-tests": {
    uses: [],
    testsUse: ["comfyui", "comfyui-simulator", "contract", "fake-s3", "queue", "runtime", "storage"],
  },
};

/** Entry points that exist for tests only: no src may name them. */
const TEST_ENTRIES = ["comfyui/recordings", "queue/testing"];

/** Libraries that only some rooms may depend on. What is not listed is free. */
const LIBRARIES: readonly { readonly library: RegExp; readonly rooms: readonly string[] }[] = [
  { library: /^(bullmq|ioredis)$/, rooms: ["packages/queue"] },
  { library: /^@aws-sdk\//, rooms: ["packages/storage", "packages/fake-s3"] }, // fake-s3: in its tests
  { library: /^@bull-board\//, rooms: ["apps/api"] },
  { library: /^express$/, rooms: ["apps/api"] },
  { library: /^@napi-rs\/image$/, rooms: ["packages/media", "apps/api"] }, // the API: in its tests
];

/** Words that stand in one place only, over src without comments. `at` is a path that starts so, or a pattern. */
const WORDS: readonly { readonly word: RegExp; readonly at: RegExp; readonly why: string }[] = [
  { word: /from "(bullmq|ioredis)"/, at: /^packages\/queue\//, why: "only the queue knows BullMQ and Redis" },
  {
    word: /\/prompt["`?]/,
    at: /^(packages\/comfyui(-simulator)?|apps\/api\/src\/facade)\//,
    why: "only these speak ComfyUI's HTTP",
  },
  { word: /\bPutObjectCommand\b/, at: /^packages\/storage\//, why: "only the storage knows S3" },
  {
    word: /\bprocess\.env\b/,
    at: /(^|\/)config\.ts$|^packages\/runtime\/src\/env\.ts$/,
    why: "settings are read once, in one file",
  },
  {
    word: /"SIGTERM"/,
    at: /^packages\/runtime\/src\/service\.ts$|^apps\/cli\/src\/up\//,
    why: "one room knows how a process ends",
  },
  {
    word: /\bDate\.now\(|\bsetTimeout\(|"node:timers/,
    at: /(^|\/)clock\.ts$/,
    why: "time comes in through one door per room, so that tests can hold it",
  },
];

/** Files that a word may stand in although it belongs elsewhere; each with its reason. */
const WORD_EXCEPTIONS: Readonly<Record<string, string>> = {};

/** Files over 300 lines; each with its reason. */
const LONG_FILES: Readonly<Record<string, string>> = {};

const TOP_LEVEL = [
  "LICENSE",
  "README.md",
  "apps",
  "docker-compose.yml",
  "infra",
  "package.json",
  "packages",
  "pnpm-lock.yaml",
  "pnpm-workspace.yaml",
  "tsconfig.base.json",
  "turbo.json",
];

/** A name that says nothing: the thing has not been named yet. */
const EMPTY_NAMES = /^(utils?|helpers?|common|managers?|handle|process|data|info)$|(Utils?|Helpers?|Manager)$/i;

/** Traces of the place a file was written in, and not of the product. */
const FOREIGN = [
  /(?<![\w./-])\/(work|home|Users|root)\/(?!node\b|ComfyUI\b|comfyui\b)[\w.-]+/, // somebody's folder
  /\b(chat ?gpt|copilot|claude|anthropic|assistant)\b/i,
  /\b(localhost|127\.0\.0\.1):(4873|8081)\b/, // somebody's registry
];

const root = join(import.meta.dirname, "../../..");
const here = relative(root, import.meta.filename);
const files = execFileSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 })
  .split("\0")
  .filter((file) => file !== "" && existsSync(join(root, file)));
const rooms = [...new Set(files.flatMap((file) => /^(?:apps|packages)\/[^/]+/.exec(file)?.[0] ?? []))];
const sources = files.filter((file) => /^(apps|packages)\/[^/]+\/src\/.*\.tsx?$/.test(file));
const tests = files.filter((file) => /^(apps|packages)\/[^/]+\/(test|chaos)\/.*\.tsx?$/.test(file));
const read = (file: string) => readFileSync(join(root, file), "utf8");
const roomOf = (file: string) => file.split("/").slice(0, 2).join("/");

/** What a file imports, statically or not. Only statements count, so a comment may show an import. */
function importsOf(source: string): readonly string[] {
  const statements = [
    /^(?:import|export)\b[^;"]*?\bfrom\s+"([^"]+)"/gm,
    /^import\s+"([^"]+)"/gm,
    /\bimport\(\s*"([^"]+)"/g,
    /\bimport\.meta\.resolve\(\s*"([^"]+)"/g,
  ];
  return statements.flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[1] ?? ""));
}

/** Drops comments, line by line: a docstring may name what the code may not. */
function withoutComments(source: string): string {
  return source
    .split("\n")
    .map((line) => (/^\s*(\/\/|\/?\*)/.test(line) ? "" : line.replace(/\s\/\/ .*$/, "")))
    .join("\n");
}

/** @returns why this import is not allowed in this file; undefined when it is */
function importBreach(file: string, target: string): string | undefined {
  const room = roomOf(file);
  const inTest = !file.startsWith(`${room}/src/`);
  if (target.startsWith(".")) {
    const reached = join(dirname(file), target);
    return reached.startsWith(`${room}/`) ? undefined : `${file} reaches out of its room: ${target}`;
  }
  if (!target.startsWith("@comfyq/")) return undefined;
  const [name = "", ...rest] = target.slice("@comfyq/".length).split("/");
  const entry = [name, ...rest].join("/");
  const { uses = [], testsUse = [] } = ROOMS[room] ?? {};
  if (inTest && (testsUse.includes(name) || uses.some((use) => use.split("/")[0] === name)))
    return rest.length <= 1 ? undefined : `${file} reaches into a room: ${target}`;
  if (uses.includes(entry)) return undefined;
  if (uses.includes(name) && rest.length === 1 && !TEST_ENTRIES.includes(entry) && isEntryPoint(name, entry))
    return undefined;
  return `${file} may not import ${target}`;
}

function isEntryPoint(name: string, entry: string): boolean {
  const { exports = {} } = manifestOf(`packages/${name}`);
  return `./${entry.split("/")[1]}` in exports;
}

interface PackageJson {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, unknown>>;
}

function manifestOf(room: string): PackageJson {
  return JSON.parse(read(`${room}/package.json`)) as PackageJson; // our own file; a wrong shape fails the test
}

/** @returns every dependency of a package.json that its row does not allow */
function dependencyBreaches(room: string, manifest: PackageJson): readonly string[] {
  const { uses = [], testsUse = [] } = ROOMS[room] ?? {};
  const mayUse = uses.map((use) => use.split("/")[0]);
  const check = (names: readonly string[], allowed: readonly (string | undefined)[], kind: string) =>
    names
      .filter((name) => name.startsWith("@comfyq/") && !allowed.includes(name.slice("@comfyq/".length)))
      .map((name) => `${room} may not have ${name} in ${kind}`);
  const dependencies = Object.keys(manifest.dependencies ?? {});
  const devDependencies = Object.keys(manifest.devDependencies ?? {});
  const libraries = LIBRARIES.flatMap(({ library, rooms: owners }) =>
    [...dependencies, ...devDependencies].filter((name) => library.test(name) && !owners.includes(room)),
  );
  return [
    ...check(dependencies, mayUse, "dependencies"),
    ...check(devDependencies, [...mayUse, ...testsUse], "devDependencies"),
    ...libraries.map((name) => `${room} may not depend on ${name}`),
  ];
}

/** @returns every word in this source that belongs elsewhere */
function wordBreaches(file: string, source: string): readonly string[] {
  const code = withoutComments(source);
  return WORDS.filter(({ word, at }) => word.test(code) && !at.test(file) && !(file in WORD_EXCEPTIONS)).map(
    ({ word, why }) => `${file} holds ${word}: ${why}`,
  );
}

describe("the walls between the rooms", () => {
  test("every room has a row, and every row a room", () => {
    expect(rooms.toSorted()).toEqual(Object.keys(ROOMS).toSorted());
    for (const room of rooms) expect(manifestOf(room).name).toBe(`@comfyq/${basename(room)}`);
  });

  test("no package.json has an edge that is not in the table", () => {
    expect(rooms.flatMap((room) => dependencyBreaches(room, manifestOf(room)))).toEqual([]);
    const planted = { name: "x", dependencies: { "@comfyq/queue": "1", ioredis: "1", zod: "1" } };
    expect(dependencyBreaches("packages/storage", planted)).toHaveLength(2);
    expect(
      dependencyBreaches("packages/storage", { name: "x", dependencies: { "@comfyq/fake-s3": "1" } }),
    ).toHaveLength(1);
  });

  test("no file imports over a wall, or deeper than an entry point", () => {
    const breaches = [...sources, ...tests].flatMap((file) =>
      importsOf(read(file)).flatMap((target) => importBreach(file, target) ?? []),
    );
    expect(breaches).toEqual([]);
  });

  test.each([
    ["apps/api/src/a.ts", 'import { x } from "@comfyq/comfyui";'],
    ["apps/api/src/a.ts", 'import type {\n  X,\n} from "@comfyq/worker";'],
    ["apps/cli/src/a.ts", 'const q = await import("@comfyq/queue");'],
    ["apps/worker/src/a.ts", 'export * from "@comfyq/queue/testing";'],
    ["apps/worker/src/a.ts", 'import { x } from "@comfyq/queue/src/claim.ts";'],
    ["apps/worker/src/a.ts", 'import { x } from "@comfyq/comfyui/recordings";'],
    ["apps/worker/src/a.ts", 'import "../../api/src/config.ts";'],
    ["packages/storage/src/a.ts", 'import { x } from "@comfyq/fake-s3";'],
    ["packages/storage/test/a.test.ts", 'import { x } from "@comfyq/runtime";'],
  ])("a breach in %s is seen: %s", (file, source) => {
    expect(importsOf(source).flatMap((target) => importBreach(file, target) ?? [])).toHaveLength(1);
  });

  test("words of one room stand in that room only", () => {
    expect(
      sources
        .filter((file) => !file.startsWith("packages/system-tests/"))
        .flatMap((file) => wordBreaches(file, read(file))),
    ).toEqual([]);
    for (const file of Object.keys(WORD_EXCEPTIONS))
      expect(files, "an exception for a file that is gone").toContain(file);
  });

  test.each([
    'import { Queue } from "bullmq";',
    'await fetch(url + "/prompt");',
    "const at = Date.now();",
    'process.on("SIGTERM", stop);',
    "const home = process.env;",
    "await client.send(new PutObjectCommand({}));",
  ])("a word out of place is seen: %s", (source) => {
    expect(wordBreaches("apps/dispatcher/src/a.ts", source)).toHaveLength(1);
    expect(wordBreaches("apps/dispatcher/src/a.ts", `  // ${source}`)).toEqual([]);
  });
});

describe("the shape of the repository", () => {
  test("the top level is what it is meant to be", () => {
    const names = new Set(files.map((file) => file.split("/")[0] ?? "").filter((name) => !name.startsWith(".")));
    expect([...names].toSorted()).toEqual(TOP_LEVEL.toSorted());
  });

  test.each(Object.keys(ROOMS))("%s says what it is, in a README with an example", (room) => {
    // infra/test/readmeExamples.test.ts runs the example; here it must only be there for it to find.
    expect(files.filter((file) => file === `${room}/README.md`)).toHaveLength(1);
    const readme = read(`${room}/README.md`).trimEnd().split("\n");
    expect(readme.length).toBeLessThanOrEqual(40);
    expect(readme).toContain("```ts");
  });

  test("files are short, but for those with a reason", () => {
    const long = sources.filter((file) => read(file).trimEnd().split("\n").length > 300);
    expect(long.toSorted()).toEqual(Object.keys(LONG_FILES).toSorted());
  });

  test("no file or folder has a name that says nothing", () => {
    const parts = sources.flatMap((file) =>
      file.split("/").map((part) => ({ file, name: basename(part, extname(part)) })),
    );
    expect(parts.filter(({ name }) => EMPTY_NAMES.test(name)).map(({ file }) => file)).toEqual([]);
    expect(["utils", "jobHelpers", "QueueManager", "info"].filter((name) => !EMPTY_NAMES.test(name))).toEqual([]);
  });

  test("no file speaks of the place it was written in", () => {
    const texts = files.filter((file) => file !== here && !/\.(png|webp|woff2?|ico)$/.test(file));
    const found = texts.flatMap((file) =>
      FOREIGN.flatMap((trace) => trace.exec(read(file))?.[0].concat(` in ${file}`) ?? []),
    );
    expect(found).toEqual([]);
  });

  test("the lockfile fetches from the public registry only", () => {
    const hosts = [...read("pnpm-lock.yaml").matchAll(/https?:\/\/([^/\s'")]+)/g)].map((match) => match[1]);
    expect([...new Set(hosts)].filter((host) => host !== "registry.npmjs.org")).toEqual([]);
  });
});
