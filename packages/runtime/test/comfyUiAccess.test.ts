import { describe, expect, test } from "vitest";
import * as z from "zod";
import { cleanText } from "../src/cleanLine.ts";
import { apiKeysByHost, cloudHosts, comfyUiAccess, isSentInTheClear, writeApiKeys } from "../src/comfyUiAccess.ts";

const Settings = z.object({ COMFYUI_API_KEYS: apiKeysByHost, COMFYUI_CLOUD_HOSTS: cloudHosts });
const read = (keys?: string, clouds?: string) =>
  Settings.parse({ COMFYUI_API_KEYS: keys, COMFYUI_CLOUD_HOSTS: clouds });

describe("a key belongs to one host", () => {
  const settings = read("cloud.comfy.org=one=1, Queue.example.com:8190=two", "queue.example.com:8190");

  test.each([
    ["https://cloud.comfy.org", { dialect: "cloud", apiKey: "one=1" }],
    ["https://cloud.comfy.org:443/base/", { dialect: "cloud", apiKey: "one=1" }],
    ["http://queue.example.com:8190", { dialect: "cloud", apiKey: "two" }],
    ["http://queue.example.com", { dialect: "local" }], // another port is another server
    ["https://cloud.comfy.org.evil.example", { dialect: "local" }],
    ["http://user@127.0.0.1:8188", { dialect: "local" }],
    ["https://cloud.comfy.org@evil.example", { dialect: "local" }],
  ])("%s", (url, access) => {
    expect(comfyUiAccess(url, settings)).toEqual(access);
  });
});

test("keys are written as they are read, and stand in no log from then on", () => {
  const { COMFYUI_API_KEYS: keys } = read("a:1=MARKERkeyOne,b=MARKERkeyTwo==");
  expect(read(writeApiKeys(keys)).COMFYUI_API_KEYS).toEqual(keys);
  expect(cleanText("MARKERkeyOne and MARKERkeyTwo==")).not.toContain("MARKER");
});

test.each(["key", "=key", "host=", "a b=key", "https://host=key"])("%s is no pair of a host and its key", (text) => {
  expect(apiKeysByHost.safeParse(text).success).toBe(false);
});

test("nothing set is no key and no other cloud", () => {
  expect(comfyUiAccess("https://cloud.comfy.org", read())).toEqual({ dialect: "cloud" });
});

test.each([
  ["http://queue.example.com", true],
  ["http://203.0.113.7:8190", true],
  ["https://queue.example.com", false],
  ["http://127.0.0.1:8188", false],
  ["http://10.1.2.3", false],
  ["http://comfyui:8188", false],
  ["http://[::1]:8188", false],
])("a key for %s crosses the open network in the clear: %s", (url, isClear) => {
  expect(isSentInTheClear(url)).toBe(isClear);
});
