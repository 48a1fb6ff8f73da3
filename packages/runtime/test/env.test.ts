import { describe, expect, test } from "vitest";
import { z } from "zod";
import { createLogger, describeEnv, EnvError, envTable, readEnv } from "../src/index.ts";

const Schema = z.object({
  COMFYUI_URL: z.url().default("http://127.0.0.1:8188").describe("The one ComfyUI this process drives"),
  JOB_TIMEOUT_MS: z.coerce.number().int().min(1_000).default(900_000).describe("Longest one attempt may take"),
  DRAIN: z.stringbool().default(true).describe("Finish the current job before stopping"),
  LOG_LEVEL: z.enum(["debug", "info"]).default("info").describe("How much is logged"),
  REDIS_URL: z
    .string()
    .regex(/^rediss?:/, "an address that begins with redis:")
    .describe("Where the queue lives"),
  COMFY_API_KEY: z.string().min(20, "at least 20 characters").optional().describe("Key for Comfy Cloud"),
});
const right = { REDIS_URL: "redis://127.0.0.1" };

const mistakesOf = (env: Record<string, string>, argv: string[] = []): EnvError => {
  try {
    readEnv(Schema, { env, argv });
  } catch (error) {
    if (error instanceof EnvError) return error;
  }
  throw new Error("readEnv did not throw an EnvError");
};

test("settings come typed, with defaults for what is missing or empty", () => {
  expect(
    readEnv(Schema, { env: { ...right, JOB_TIMEOUT_MS: "5000", DRAIN: "off", COMFYUI_URL: "", LOG_LEVEL: "" } }),
  ).toEqual({
    COMFYUI_URL: "http://127.0.0.1:8188",
    JOB_TIMEOUT_MS: 5_000,
    DRAIN: false,
    LOG_LEVEL: "info",
    REDIS_URL: "redis://127.0.0.1",
  });
});

test("all mistakes are told together, each with its name, what was given and what is expected", () => {
  const { code, message, mistakes } = mistakesOf({
    COMFYUI_URL: "nonsense",
    JOB_TIMEOUT_MS: "soon",
    LOG_LEVEL: "loud",
  });
  expect(code).toBe("bad_env");
  expect(mistakes).toEqual([
    { name: "COMFYUI_URL", given: '"nonsense"', expected: "an address such as http://127.0.0.1:8188" },
    { name: "JOB_TIMEOUT_MS", given: '"soon"', expected: "a number" },
    { name: "LOG_LEVEL", given: '"loud"', expected: "one of debug, info" },
    { name: "REDIS_URL", expected: "a value: it is required" },
  ]);
  expect(message).toContain('JOB_TIMEOUT_MS: is "soon", expected a number');
  expect(message).toContain("REDIS_URL: not set, expected a value: it is required");
});

test("a mistaken secret is not shown, nor is the password in a mistaken URL", () => {
  const { message } = mistakesOf({ COMFY_API_KEY: "hunter2", REDIS_URL: "http://user:hunter2@redis?password=hunter2" });
  expect(message).toContain("COMFY_API_KEY: is (not shown), expected at least 20 characters");
  expect(message).toContain('REDIS_URL: is "http://redis?password=*"');
  expect(message).not.toContain("hunter2");
});

test("a secret that was read stays out of the log", () => {
  const key = "comfy-key-that-is-long-enough";
  readEnv(Schema, { env: { ...right, COMFY_API_KEY: key } });
  const logged: string[] = [];
  createLogger({ name: "test", destination: { write: (line) => void logged.push(line) } }).info(`using ${key}`);
  expect(logged.join()).toContain("using [hidden]");
});

describe("flags", () => {
  test("win over the environment, in both spellings", () => {
    const argv = ["--job-timeout-ms=2000", "--log-level", "debug"];
    const read = readEnv(Schema, { env: { ...right, JOB_TIMEOUT_MS: "5000" }, argv });
    expect(read).toMatchObject({ JOB_TIMEOUT_MS: 2_000, LOG_LEVEL: "debug" });
  });

  test("that nobody knows are mistakes, and secrets are never taken from them", () => {
    const { mistakes } = mistakesOf(right, ["--speed=9", "--comfy-api-key=aaaaaaaaaaaaaaaaaaaaaaaa"]);
    expect(mistakes).toEqual([
      { name: "--speed", expected: "one of the flags that --help lists" },
      { name: "--comfy-api-key", given: "(not shown)", expected: "COMFY_API_KEY as an environment variable" },
    ]);
  });

  test("--help asks for the table of all settings, even when some are missing", () => {
    const { code, entries } = mistakesOf({}, ["--help"]);
    expect(code).toBe("help_wanted");
    expect(envTable(entries)).toContain(
      "JOB_TIMEOUT_MS  <integer ≥ 1000>\n    Longest one attempt may take (default: 900000)",
    );
    expect(envTable(entries)).toContain("Where the queue lives (required)");
  });
});

test("describeEnv knows name, description, type, choices and default of each setting", () => {
  expect(describeEnv(Schema)).toEqual([
    expect.objectContaining({ name: "COMFYUI_URL", type: "url", default: "http://127.0.0.1:8188", required: false }),
    expect.objectContaining({ name: "JOB_TIMEOUT_MS", type: "integer ≥ 1000", default: "900000" }),
    expect.objectContaining({ name: "DRAIN", type: "boolean", default: "true" }),
    expect.objectContaining({ name: "LOG_LEVEL", type: "debug | info", choices: ["debug", "info"], default: "info" }),
    { name: "REDIS_URL", type: "string", description: "Where the queue lives", required: true },
    { name: "COMFY_API_KEY", type: "string", description: "Key for Comfy Cloud", required: false },
  ]);
});

test("where a secret is kept is no secret: the path of a keys file can be named", () => {
  const schema = z.object({ COMFYQ_KEYS_FILE: z.literal("/keys.json").describe("Where the keys are") });
  try {
    readEnv(schema, { env: { COMFYQ_KEYS_FILE: "/elsewhere.json" } });
    expect.unreachable();
  } catch (error) {
    expect(String(error)).toContain("/elsewhere.json");
  }
});
