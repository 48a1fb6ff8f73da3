import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { explainSignature, type SignedWebhook } from "../src/webhooks/explainSignature.ts";

const KEY = Buffer.from("0123456789abcdef0123456789abcdef");
const SECRET = `whsec_${KEY.toString("base64")}`;
const ID = "0199a000-0000-7000-8000-000000000001";
const AT_S = 1_800_000_000;
const BODY = `{"v":1,"id":"${ID}","type":"job.succeeded"}`;

const signature = (body = BODY, id = ID) =>
  `v1,${createHmac("sha256", KEY).update(`${id}.${AT_S}.${body}`).digest("base64")}`;

interface Changes extends Partial<Omit<SignedWebhook, "headers" | "body">> {
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A genuine webhook, 3 s old, but for what is changed. */
function explain({ body = BODY, headers = {}, ...changed }: Changes = {}) {
  const all = { "webhook-id": ID, "webhook-timestamp": String(AT_S), "webhook-signature": signature(), ...headers };
  const genuine = { secret: SECRET, nowMs: (AT_S + 3) * 1_000, toleranceS: 300 };
  const webhook = { ...genuine, ...changed, headers: new Map(Object.entries(all)), body: Buffer.from(body) };
  const { verdict, steps } = explainSignature(webhook);
  return `${verdict}: ${steps.filter((step) => step.startsWith("✗")).join("; ")}`;
}

test("a genuine webhook is genuine, also while two secrets sign", () => {
  expect(explain()).toBe("genuine: ");
  expect(explain({ headers: { "webhook-signature": `v1,${"A".repeat(43)}= ${signature()}` } })).toBe("genuine: ");
});

test.each([
  ["no secret of ours", "s3cret", "must start with whsec_"],
  ["a signature instead of the secret", "v1,abc", "this is a signature"],
  ["a cut secret", SECRET.slice(0, 20), "was it cut"],
  ["a secret with a line break", `${SECRET}\n`, "white space"],
  ["a secret that a shell changed", "whsec_$HOME", "no base64"],
])("%s: nothing is checked, and it says why", (_what, secret, why) => {
  expect(explain({ secret })).toMatch(/^bad_input: /);
  expect(explain({ secret })).toContain(why);
});

test("a missing header is named", () => {
  expect(explain({ headers: { "webhook-id": "", "webhook-signature": "" } })).toBe(
    'bad_input: ✗ webhook-id: missing; give it with --header "webhook-id: …"; ' +
      '✗ webhook-signature: missing; give it with --header "webhook-signature: …"',
  );
});

test.each([
  [AT_S + 301, "301 s old"],
  [AT_S + 3_600, "60 min old"],
  [AT_S + 3 * 86_400, "3 days old"],
  [AT_S - 1_000, "17 min ahead"],
])("a timestamp out of time says by how much", (nowS, words) => {
  expect(explain({ nowMs: nowS * 1_000 })).toContain(words.replace("301 s", "5 min"));
  expect(explain({ nowMs: nowS * 1_000, toleranceS: 1_000_000 })).toBe("genuine: ");
});

test("a timestamp in milliseconds is told from one in seconds", () => {
  expect(explain({ headers: { "webhook-timestamp": `${AT_S}000` } })).toContain("are milliseconds");
});

test.each([
  ["a line break was added", `${BODY}\n`, BODY],
  ["was lost", BODY, `${BODY}\n`],
  ["byte order mark", `\uFEFF${BODY}`, BODY],
  ["CRLF", BODY.replaceAll(",", ",\r\n"), BODY.replaceAll(",", ",\n")],
  ["parsed and written again", JSON.stringify(JSON.parse(BODY), null, 2), BODY],
])("a body that was changed says how: %s", (words, arrived, sent) => {
  const explained = explain({ body: arrived, headers: { "webhook-signature": signature(sent) } });
  expect(explained).toMatch(/^not_genuine: /);
  expect(explained).toContain(words);
});

test("headers of another event are told from a wrong secret", () => {
  const other = "0199a000-0000-7000-8000-00000000000f";
  expect(explain({ headers: { "webhook-id": other } })).toContain(`the signature of ${ID}`);
  expect(explain({ headers: { "webhook-id": other, "webhook-signature": "v1,AAAA" } })).toContain("two events");
  const wrong = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  expect(explain({ secret: wrong })).toContain("another secret");
  expect(explain({ headers: { "webhook-signature": "sha256=abc" } })).toContain("looks like v1,");
});
