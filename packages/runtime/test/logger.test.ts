import { afterEach, describe, expect, test } from "vitest";
import { cleanLine } from "../src/cleanLine.ts";
import { createLogger, hideValue, type Logger, stripUrl } from "../src/index.ts";

const MARK = "SECRET-0b5d6f1c-marker";
const forgets: (() => void)[] = [];
afterEach(() => {
  for (const forget of forgets.splice(0)) forget();
});
const hide = (secret: string): void => void forgets.push(hideValue(secret));

function setup(): {
  readonly logger: Logger;
  readonly text: () => string;
  readonly last: () => Record<string, unknown>;
} {
  const lines: string[] = [];
  const logger = createLogger({
    name: "test",
    level: "trace",
    destination: { write: (line) => void lines.push(line) },
  });
  return { logger, text: () => lines.join(""), last: () => JSON.parse(lines.at(-1) ?? "") };
}

test("a line is one JSON object with level, time, name, fields and message", () => {
  const { logger, last, text } = setup();
  logger.child({ jobId: "j1" }).info({ durationMs: 12 }, "attempt succeeded");
  expect(last()).toMatchObject({ level: "info", name: "test", jobId: "j1", durationMs: 12, msg: "attempt succeeded" });
  expect(Date.parse(String(last()["time"]))).toBeGreaterThan(0);
  expect(text().endsWith("}\n")).toBe(true);
  hide("attempt succeeded");
  logger.info("attempt succeeded");
  expect(text().endsWith('"msg":"[hidden]"}\n')).toBe(true);
});

test.each([
  ["authorization", "Authorization"],
  ["x-api-key", "X-API-Key"],
  ["cookie", "set-cookie"],
  ["secrets", "api_key"],
  ["api_key_comfy_org", "auth_token_comfy_org"],
  ["password", "webhookSecret"],
  ["secretAccessKey", "X-Amz-Signature"],
])("the fields %s and %s are hidden at any depth", (one, other) => {
  const { logger, text } = setup();
  logger.info({ [one]: MARK, a: { b: [{ c: { d: { [other]: { deep: MARK } } } }] } }, "m");
  logger.child({ [other]: MARK }).warn("m");
  expect(text()).not.toContain(MARK);
  expect(text().match(/\[hidden\]/g)).toHaveLength(3);
});

describe("a hidden value", () => {
  test("appears in no later line: not in messages, URLs, errors, stacks, causes, keys or other spellings", () => {
    const { logger, text, last } = setup();
    const secret = `${MARK}/"quoted" +\\n`;
    hide(secret);
    const cause = new Error(`inner ${secret}`);
    logger.error({ err: new Error(`outer ${secret}`, { cause }) }, `message ${secret}`);
    logger.info({ path: `/x/${encodeURIComponent(secret)}/y`, [secret]: 1, list: [secret] }, "m");
    logger.info({ body: Buffer.from(secret).toString("base64") }, "m");
    logger.info({ dump: JSON.stringify({ secret }) }, "m");
    logger.child({ bound: secret }).info("m");
    expect(text()).not.toContain(MARK);
    expect(text()).not.toContain(Buffer.from(MARK).toString("base64").slice(0, 20));
    expect(last()["bound"]).toBe("[hidden]");
  });

  test("that looks like a number leaves the line readable", () => {
    const { logger, last } = setup();
    hide("1234567");
    logger.info({ sizeBytes: 91234567, text: "pin 1234567" }, "m");
    expect(last()).toMatchObject({ sizeBytes: 91234567, text: "pin [hidden]" });
  });

  test("is shown again once everyone who hid it has let go", () => {
    const { logger, last } = setup();
    const [first, second] = [hideValue(MARK), hideValue(MARK)];
    first();
    first(); // twice by the same holder counts once
    logger.info(MARK);
    expect(last()["msg"]).toBe("[hidden]");
    second();
    logger.info(MARK);
    expect(last()["msg"]).toBe(MARK);
  });

  test("of a few letters is not hidden, for it would blank half the log", () => {
    const { logger, last } = setup();
    hide("info");
    logger.info("info");
    expect(last()).toMatchObject({ level: "info", msg: "info" });
  });
});

test.each([
  ["Bearer sk-abc123def456", "Bearer [hidden]"],
  ["got Authorization: Basic dXNlcjpwYXNzd29yZA==", "got Authorization: Basic [hidden]"],
  ["key cq_live_0123456789abcdefghijABCDEFGHIJ0123456789xyz leaked", "key [hidden] leaked"],
  ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "[hidden]"],
  [`comfyui-${"0a".repeat(32)}`, "[hidden]"],
  ["comfyui-worker-7f9c4b5d66-abcde is a pod, and Bearer authentication a word", "="],
])("what looks like a secret is hidden in %s", (message, expected) => {
  const { logger, last } = setup();
  logger.info(message);
  expect(last()["msg"]).toBe(expected === "=" ? message : expected);
});

test("URLs lose user, password and query values wherever they stand", () => {
  const { logger, text, last } = setup();
  const url = `https://user:${MARK}@s3.example/bucket/key?X-Amz-Signature=${MARK}&x=${MARK}#${MARK}`;
  logger.info(
    { url, req: { url: `/v1/jobs?ticket=${MARK}` }, err: new Error(`GET ${url} failed`) },
    `from ${url}, twice`,
  );
  expect(text()).not.toContain(MARK);
  expect(last()["url"]).toBe("https://s3.example/bucket/key?X-Amz-Signature=*&x=*");
  expect(last()["req"]).toEqual({ url: "/v1/jobs?ticket=*" });
});

test("an error is logged with name, code, message, stack and causes, and nothing else that hangs on it", () => {
  const { logger, last, text } = setup();
  const root = Object.assign(new Error("refused"), {
    code: "ECONNREFUSED",
    headers: { authorization: MARK },
    body: MARK,
  });
  logger.error({ err: new Error("upload failed", { cause: new AggregateError([root], "all failed") }) }, "m");
  expect(last()["err"]).toMatchObject({
    name: "Error",
    message: "upload failed",
    stack: expect.stringContaining("logger.test"),
    cause: { message: "all failed", errors: [{ code: "ECONNREFUSED", message: "refused" }] },
  });
  expect(text()).not.toContain(MARK);
});

test("an error that is its own cause, and a value that is no error, can be logged", () => {
  const { logger, last } = setup();
  const loop = new Error("loop");
  loop.cause = loop;
  logger.error({ err: loop }, "m");
  expect(last()).toMatchObject({ err: { message: "loop", cause: { message: "loop" } } });
  logger.error(new Error("alone"));
  expect(last()).toMatchObject({ err: { message: "alone" }, msg: "alone" });
  logger.error({ error: "a string" }, "m");
  expect(last()["error"]).toBe("a string");
});

test.each([
  ["https://u:p@h.example:8443/a/b?x=1&y=2&z#f", "https://h.example:8443/a/b?x=*&y=*&*"],
  ["redis://:pa/ss@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"],
  ["redis://:p?a#ss@127.0.0.1:6379", "redis://127.0.0.1:6379"],
  ["https://registry.example/@scope/pkg", "https://registry.example/@scope/pkg"],
  ["s3://bucket/key", "s3://bucket/key"],
  ["/v1/jobs?ticket=abc", "/v1/jobs?ticket=*"],
  ["data:image/png;base64,iVBORw0KGgo", "data:image/png;base64,*"],
  ["", ""],
  ["not a url", "not a url"],
])("stripUrl(%s)", (url, expected) => {
  expect(stripUrl(url)).toBe(expected);
  expect(stripUrl(expected)).toBe(expected);
});

test("a line without anything to hide leaves as it came", () => {
  const line = '{"level":"info","msg":"attempt succeeded","jobId":"1"}\n';
  expect(cleanLine(line)).toBe(line);
});
