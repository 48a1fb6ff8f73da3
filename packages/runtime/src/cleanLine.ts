import { HIDDEN, hasHiddenValue, withoutHiddenValues } from "./hiddenValues.ts";
import { stripUrl, stripUrlsIn } from "./stripUrl.ts";

/** Fields whose value never appears, at any depth; written without hyphens and underscores, compared in lower case. */
const SECRET_FIELDS: ReadonlySet<string> = new Set([
  "authorization",
  "proxyauthorization",
  "cookie",
  "setcookie",
  "xapikey",
  "apikey",
  "apikeycomfyorg",
  "authtokencomfyorg",
  "secret",
  "secrets",
  "secretkey",
  "secretaccesskey",
  "sessiontoken",
  "webhooksecret",
  "signingsecret",
  "clientsecret",
  "password",
  "passwd",
  "token",
  "accesstoken",
  "refreshtoken",
  "ticket",
  "credential",
  "credentials",
  "xamzsignature",
  "xamzcredential",
  "xamzsecuritytoken",
  "webhooksignature",
]);

/** Fields that hold an address even when it is only a path, `/v1/jobs?ticket=…`. */
const URL_FIELDS: ReadonlySet<string> = new Set(["url", "href", "originalurl", "location", "referer"]);

/** Secrets that can be told by their looks: our own keys, webhook secrets, Comfy's keys, and what follows Bearer. */
const SECRET_LOOKS =
  /\b(?:cq_[a-z]+_|whsec_)[A-Za-z0-9+/_=-]{16,}|\bcomfyui-[0-9a-f]{32,}|\b(Bearer|Basic)\s+(?=\S*[0-9=])[\w.~+/=-]{8,}/g;

/** Whether a line may hold something to hide; most do not, and pass untouched. Wider than the lists above. */
const SUSPICIOUS = new RegExp(
  [
    String.raw`"[\w-]*(?:authorization|cookie|key|secret|token|passw|ticket|credential|signature|url|href|location|referer)`,
    String.raw`:\/\/[^\s"]*[?@#]`,
    SECRET_LOOKS.source,
  ].join("|"),
  "i",
);

/**
 * One line of the log without secrets: by field name at any depth, by hidden value, by looks, and with every URL
 * stripped. Last thing before a line leaves the process, so it does not matter who logged what through which serializer.
 * @param line one JSON object, as pino wrote it
 */
export function cleanLine(line: string): string {
  if (!SUSPICIOUS.test(line) && !hasHiddenValue(line)) return line;
  const fields: unknown = JSON.parse(line);
  return `${JSON.stringify(clean(fields, ""))}\n`;
}

function clean(value: unknown, field: string): unknown {
  const word = field.replaceAll(/[-_]/g, "").toLowerCase();
  if (SECRET_FIELDS.has(word)) return HIDDEN;
  if (typeof value === "string") return cleanText(URL_FIELDS.has(word) ? stripUrl(value) : value);
  if (Array.isArray(value)) return value.map((item) => clean(item, ""));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [cleanText(key), clean(inner, key)]));
}

/** A text without hidden values, without what looks like a secret, and with its URLs stripped. */
export function cleanText(text: string): string {
  return withoutHiddenValues(stripUrlsIn(text)).replace(SECRET_LOOKS, (_, scheme?: string) =>
    scheme ? `${scheme} ${HIDDEN}` : HIDDEN,
  );
}
