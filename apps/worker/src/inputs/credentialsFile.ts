import { readFile } from "node:fs/promises";
import { SecretName, Tenant } from "@comfyq/contract";
import { hideValue } from "@comfyq/runtime";
import * as z from "zod";

const text = z
  .string()
  .min(1)
  .regex(/^[^\p{Cc}]*$/u, "must not have control characters");
/** Who may name it; everybody when it is left out. */
const tenants = z.array(Tenant).min(1).optional();

/** Sent as a header, to its hosts and nobody else. */
const HeaderCredential = z.strictObject({
  hosts: z
    .array(z.string().regex(/^[a-z0-9.-]+(?::\d{1,5})?$|^\[[0-9a-f:]+\](?::\d{1,5})?$/, "must be a host or host:port"))
    .min(1),
  value: text,
  header: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9-]*$/, "must be a header's name")
    .default("Authorization"),
  tenants,
});

/** Keys for `s3://` sources in its buckets. */
const BucketCredential = z.strictObject({
  buckets: z.array(text).min(1),
  accessKeyId: text,
  secretAccessKey: text,
  sessionToken: text.optional(),
  region: text.optional(),
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
  tenants,
});

const NamedCredential = z.union([HeaderCredential, BucketCredential]);
export type NamedCredential = z.infer<typeof NamedCredential>;
const CredentialsFile = z.record(SecretName, NamedCredential);
export type NamedCredentials = z.infer<typeof CredentialsFile>;

/**
 * Reads the credentials that the operator gave the workers, and hides their values from every log line.
 * @param isWanted the operator named the file: then it must be there
 * @throws Error that names the file and what is wrong in it, never a value
 */
export async function readCredentialsFile(path: string, isWanted: boolean): Promise<NamedCredentials> {
  const bytes = await readFile(path, "utf8").catch((cause: unknown) => {
    const isAbsent = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    if (isAbsent && !isWanted) return "{}";
    throw new Error(`The credentials for sources cannot be read from ${path} (COMFYQ_SECRETS_FILE)`, { cause });
  });
  const parsed = CredentialsFile.safeParse(parseJson(bytes, path));
  if (!parsed.success) throw new Error(`${path} (COMFYQ_SECRETS_FILE) is wrong: ${faultsOf(parsed.error)}`);
  for (const credential of Object.values(parsed.data)) hideSecretsOf(credential);
  return parsed.data;
}

/** Not with the parser's own words: they repeat a piece of the file. */
function parseJson(bytes: string, path: string): unknown {
  try {
    return JSON.parse(bytes);
  } catch {
    throw new Error(
      `${path} (COMFYQ_SECRETS_FILE) is no JSON; write { "name": { "hosts": ["…"], "value": "Bearer …" } }`,
    );
  }
}

function faultsOf(error: z.ZodError): string {
  const faults = error.issues.map(({ path, message, code }) => {
    const form = "has neither hosts and value nor buckets and keys, or more than these; see the documentation";
    return `${path.join(".") || "the file"} ${code === "invalid_union" ? form : message}`;
  });
  return faults.join("; ");
}

function hideSecretsOf(credential: NamedCredential): void {
  if ("value" in credential) {
    const [, bare = credential.value] = /^\S+ (\S+)$/.exec(credential.value) ?? [];
    hideValue(bare);
    return;
  }
  hideValue(credential.secretAccessKey);
  if (credential.sessionToken !== undefined) hideValue(credential.sessionToken);
}
