import type { InputSource, JobSecrets } from "@comfyq/contract";
import { opensHost, stripUrl } from "@comfyq/runtime";
import type { S3Credentials } from "@comfyq/storage";
import * as z from "zod";
import { JobError } from "../jobError.ts";
import type { NamedCredential, NamedCredentials } from "./credentialsFile.ts";

/** A source, and whose it is. */
export interface CredentialWish {
  readonly source: InputSource;
  readonly label: string;
  readonly tenant: string;
  /** Of the job. */
  readonly secrets: () => JobSecrets;
}

/** How a bucket is opened; what is left out is the process's own. */
interface BucketAccess {
  readonly credentials?: S3Credentials | undefined;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
}

/** Finds the credential that a source names: in the job's secrets first, then in the operator's. */
export interface Credentials {
  /** Headers for an http(s) source; none when it names no credential. @throws JobError `input_unavailable` */
  headersFor(wish: CredentialWish): Readonly<Record<string, string>>;
  /** How an S3 bucket may be read for this job. @throws JobError `input_unavailable` when it may not */
  bucketFor(wish: CredentialWish, bucket: string): BucketAccess;
}

interface Rules {
  readonly named: NamedCredentials;
  /** Hosts that may be sent a credential without TLS. */
  readonly allowHosts: readonly string[];
  /** Buckets that any job may read with the worker's own keys. */
  readonly openBuckets: readonly string[];
}

export function createCredentials(rules: Rules): Credentials {
  return {
    headersFor: (wish) => (wish.source.credential === undefined ? {} : headersOf(wish, rules)),
    bucketFor: (wish, bucket) => {
      if (wish.source.credential !== undefined) return bucketOf(wish, bucket, rules.named);
      if (rules.openBuckets.includes(bucket)) return {};
      const why = `the bucket ${bucket} is open to no job; name a credential, or let the operator add it to COMFYQ_S3_INPUT_BUCKETS`;
      throw refused(wish, why);
    },
  };
}

function headersOf(wish: CredentialWish, { named, allowHosts }: Rules): Readonly<Record<string, string>> {
  const url = new URL(wish.source.url);
  if (url.protocol !== "https:" && !opensHost(allowHosts, url))
    throw refused(wish, "a credential is sent over https only; write https://");
  const own = ownSecret(wish);
  if (own !== undefined) return { authorization: own.includes(" ") ? own : `Bearer ${own}` };
  const credential = namedFor(wish, named);
  if (!("hosts" in credential)) throw refused(wish, `its credential is for s3:// sources`);
  const isItsHost = credential.hosts.some((host) => host === url.host);
  if (!isItsHost) throw refused(wish, `its credential is not for ${url.host}; ask the operator which one is`);
  return { [credential.header.toLowerCase()]: credential.value };
}

const OwnKeys = z.strictObject({
  accessKeyId: z.string().min(1),
  secretAccessKey: z.string().min(1),
  sessionToken: z.string().min(1).optional(),
  region: z.string().min(1).optional(),
});

function bucketOf(wish: CredentialWish, bucket: string, named: NamedCredentials): BucketAccess {
  const own = ownSecret(wish);
  if (own !== undefined) {
    const keys = OwnKeys.safeParse(parsed(own));
    if (keys.success) return { credentials: keys.data, region: keys.data.region };
    throw refused(wish, 'its secret holds no S3 keys; write {"accessKeyId": "…", "secretAccessKey": "…"} as its text');
  }
  const credential = namedFor(wish, named);
  if (!("buckets" in credential)) throw refused(wish, "its credential is for http(s) sources");
  if (!credential.buckets.includes(bucket)) throw refused(wish, `its credential is not for the bucket ${bucket}`);
  const { region, endpoint } = credential;
  return { credentials: credential, region, endpoint };
}

function ownSecret({ source, secrets }: CredentialWish): string | undefined {
  const own = secrets();
  return Object.hasOwn(own, source.credential ?? "") ? own[source.credential ?? ""] : undefined;
}

/** One that is not there and one of other tenants are the same answer. */
function namedFor(wish: CredentialWish, named: NamedCredentials): NamedCredential {
  const name = wish.source.credential ?? "";
  const found = Object.hasOwn(named, name) ? named[name] : undefined;
  if (found && (found.tenants?.includes(wish.tenant) ?? true)) return found;
  throw refused(
    wish,
    `there is no credential ${JSON.stringify(name)}; send it in secrets, or ask the operator for one`,
  );
}

function refused({ label, source }: CredentialWish, why: string): JobError {
  return new JobError("input_unavailable", `Input ${label}: ${stripUrl(source.url)} was not fetched: ${why}`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
