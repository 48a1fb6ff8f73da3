import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SHARED_SETTINGS } from "@comfyq/runtime";
import { describe, expect, test } from "vitest";
import { workerEnvs } from "../src/up/comfyUis.ts";
import { settingsHelp, settingsMarkdown } from "../src/up/describeSettings.ts";
import { readSettings, settingGroups } from "../src/up/settings.ts";
import { unknownSettings } from "../src/up/unknownSettings.ts";

const clone = join(import.meta.dirname, "../../..");
const entries = settingGroups().flatMap(({ settings }) => settings);
const names = entries.map(({ name }) => name);

/** What each worker is told. */
function envsOf(env: Readonly<Record<string, string | undefined>>) {
  const settings = readSettings(env);
  return workerEnvs(settings.COMFYUI_URLS ?? [], settings);
}

/** Every process's config.ts. */
const configs = readdirSync(join(clone, "apps"))
  .map((app) => join(clone, "apps", app, "src/config.ts"))
  .filter((file) => existsSync(file));

/** The settings a config.ts declares: `NAME: z…`, with the literal of its `.default()`, if it has one. */
function declared(source: string): readonly { readonly name: string; readonly fallback: string | undefined }[] {
  const parts = source.split(/^ {2}(?=[A-Z][A-Z0-9_]+: )/m).slice(1);
  return parts.map((part) => ({
    name: part.slice(0, part.indexOf(":")),
    fallback: /\.default\(([^)]*)\)/.exec(part)?.[1]?.replaceAll(/["_]/g, ""),
  }));
}

describe("documentation", () => {
  test("every setting that a process reads is documented, with the default it has there", () => {
    const read = configs.flatMap((file) => declared(readFileSync(file, "utf8")));
    expect(read.map(({ name }) => name)).toContain("COMFYQ_KEYS_FILE");
    expect(
      [...read.map(({ name }) => name), ...Object.keys(SHARED_SETTINGS)].filter((n) => !names.includes(n)),
    ).toEqual([]);
    // A worker alone waits a minute for its render; the launcher promises to be gone within ten seconds. A dispatcher
    // alone cannot know where the API is; the launcher tells it.
    const differing = ["COMFYQ_DRAIN_S", "COMFYQ_PUBLIC_URL"];
    const others = read.flatMap(({ name, fallback }) => {
      const ours = entries.find((entry) => entry.name === name)?.default;
      return differing.includes(name) || (ours ?? "") === (fallback ?? "") ? [] : [`${name}: ${fallback}, not ${ours}`];
    });
    expect(others).toEqual([]);
  });

  test("each has one sentence, and stands once", () => {
    expect(entries.filter(({ description }) => description.length < 10)).toEqual([]);
    expect(names).toEqual([...new Set(names)]);
    for (const name of names) expect(settingsHelp()).toContain(`  ${name} `);
  });

  test("the table in the README is the one that `comfyq settings` prints", () => {
    const readme = readFileSync(join(clone, "README.md"), "utf8");
    const [, shown = ""] = /<!-- settings -->\n(.*?)<!-- \/settings -->/s.exec(readme) ?? [];
    const plain = (text: string) =>
      text
        .replaceAll(/-{3,}/g, "---")
        .replaceAll(/[ \t]+/g, " ")
        .replaceAll(/\| ?/g, "|")
        .trim();
    if (shown.trim() !== "") expect(plain(shown)).toBe(plain(settingsMarkdown()));
  });
});

describe("reading", () => {
  test("nothing has to be set", () => {
    expect(readSettings({})).toMatchObject({ COMFYQ_HOST: "127.0.0.1", COMFYQ_PORT: 8190, COMFYQ_DATA_DIR: "./data" });
  });

  test("several ComfyUIs are told apart by commas", () => {
    const { COMFYUI_URLS } = readSettings({ COMFYUI_URLS: "http://a:8188, http://b:8188," });
    expect(COMFYUI_URLS).toEqual(["http://a:8188", "http://b:8188"]);
  });

  test("a key is for one host: with several it has to be said which", () => {
    const urls = {
      COMFYUI_URLS: "http://a:8188,https://cloud.comfy.org,http://b:8188",
      COMFYUI_API_KEY: "k".repeat(8),
    };
    expect(envsOf(urls).map((env) => env["COMFYUI_API_KEYS"])).toEqual(Array(3).fill("cloud.comfy.org=kkkkkkkk"));
    const two = { ...urls, COMFYUI_CLOUD_HOSTS: "b:8188" };
    expect(() => readSettings(two)).toThrow(/COMFYUI_API_KEY: is \(not shown\).*COMFYUI_API_KEYS=host=key/);
    expect(() => readSettings({ ...urls, COMFYUI_API_KEYS: "kkkkkkkk" })).toThrow(
      /COMFYUI_API_KEYS: is \(not shown\), expected host=key/,
    );
    const each = { ...two, COMFYUI_API_KEY: undefined, COMFYUI_API_KEYS: "cloud.comfy.org=a=b, B:8188=c" };
    expect(envsOf(each).map((env) => env["COMFYUI_API_KEYS"])).toEqual(Array(3).fill("cloud.comfy.org=a=b,b:8188=c"));
  });

  test("only a cloud takes several workers, each with a name, and only clouds wait for overflow", () => {
    const cloud = "https://cloud.comfy.org";
    const urls = { COMFYUI_URLS: `http://a:8188,${cloud},${cloud}`, COMFYQ_OVERFLOW_AFTER_S: "30" };
    const envs = envsOf(urls);
    expect(envs.map((env) => env["COMFYQ_OVERFLOW_AFTER_S"])).toEqual(["0", "30", "30"]);
    expect(envs.map((env) => env["COMFYQ_WORKER_ID"] !== undefined)).toEqual([false, false, true]);
    expect(() => readSettings({ COMFYUI_URLS: "http://a:8188,http://a:8188" })).toThrow(
      /COMFYUI_URLS.*each address once/,
    );
  });

  test("all mistakes come together, and secrets are not shown", () => {
    const env = {
      COMFYQ_PORT: "99999",
      COMFYUI_URLS: "http://a:8188,http://a:8188",
      REDIS_URL: "localhost:6379",
      S3_ENDPOINT: "minio",
      COMFYQ_WEBHOOK_SECRET: "short",
    };
    expect(() => readSettings(env)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/COMFYQ_PORT.*REDIS_URL.*S3_ENDPOINT.*COMFYQ_WEBHOOK_SECRET.*COMFYUI_URLS/s),
      }),
    );
    expect(() => readSettings(env)).not.toThrow(/short/);
  });

  test("a misspelt setting is noticed, and the right one named", () => {
    const env = { COMFYQ_PROT: "1", COMFYQ_PORT: "1", COMFYQ_SOMETHING_ELSE: "1", COMFYUI_URL: "x", HOME: "/" };
    expect(unknownSettings(env, names)).toEqual([
      "COMFYQ_PROT is no setting; did you mean COMFYQ_PORT?",
      "COMFYQ_SOMETHING_ELSE is no setting; --help lists them.",
    ]);
  });
});
