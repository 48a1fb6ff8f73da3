import { COMFY_SECRETS, type JobFailure, JobSecrets } from "@comfyq/contract";
import type { HeldJob } from "@comfyq/queue";
import { hideValue, type SecretBox, SecretBoxError } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";

/** The secrets of one job, sealed until somebody asks. */
export interface LentSecrets {
  /** Opens them. From here on their values stand in no log line of this process. @throws JobError `secrets_unreadable` */
  open(): JobSecrets;
  /** The failure without any value that was opened: a node may repeat in its error what it was given. */
  scrub(failure: JobFailure): JobFailure;
  /** A text without any value that was opened. */
  scrubText(text: string): string;
  /** Forgets what was opened. */
  forget(): void;
}

export function lendSecrets(job: Pick<HeldJob, "tenant" | "sealedSecrets">, box: SecretBox): LentSecrets {
  let opened: JobSecrets | undefined;
  const unhide: (() => void)[] = [];
  return {
    open: () => {
      if (opened) return opened;
      opened = openSealed(job, box);
      for (const value of Object.values(opened)) unhide.push(...partsOf(value).map(hideValue));
      return opened;
    },
    scrub: (failure) => (opened ? withoutValues(failure, Object.values(opened).flatMap(partsOf)) : failure),
    scrubText: (text) => (opened ? String(scrubbed(text, Object.values(opened).flatMap(partsOf))) : text),
    forget: () => {
      for (const show of unhide.splice(0)) show();
      opened = undefined;
    },
  };
}

/** What goes along with the graph in ComfyUI's `extra_data`, for its API nodes. */
export function comfySecretsOf(secrets: JobSecrets): Readonly<Record<string, string>> {
  const entries = COMFY_SECRETS.map(
    (name) => [name, Object.hasOwn(secrets, name) ? secrets[name] : undefined] as const,
  );
  return Object.fromEntries(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** A secret, and those that it is made of: the token after a scheme, the keys inside JSON. */
function partsOf(secret: string): readonly string[] {
  const [, token] = /^\S+ (\S+)$/.exec(secret) ?? [];
  return [secret, ...(token === undefined ? [] : [token]), ...textsInJson(secret)];
}

function textsInJson(secret: string): readonly string[] {
  if (!secret.startsWith("{")) return [];
  try {
    return Object.values(JSON.parse(secret) as object).filter((part) => typeof part === "string"); // an object: it begins so
  } catch {
    return [];
  }
}

function openSealed({ tenant, sealedSecrets }: Pick<HeldJob, "tenant" | "sealedSecrets">, box: SecretBox): JobSecrets {
  if (sealedSecrets === undefined) return {};
  try {
    return JobSecrets.parse(JSON.parse(box.open(sealedSecrets, tenant)));
  } catch (cause) {
    if (!(cause instanceof SecretBoxError)) throw cause;
    const message =
      "The secrets of this job were sealed with another key; give the API and every worker the same COMFYQ_SECRETS_KEY";
    throw new JobError("secrets_unreadable", message, { cause });
  }
}

const HIDDEN = "[hidden]";

function withoutValues(failure: JobFailure, values: readonly string[]): JobFailure {
  return scrubbed(failure, values) as JobFailure; // the same shape, with other texts
}

function scrubbed(value: unknown, values: readonly string[]): unknown {
  if (typeof value === "string") return values.reduce((text, secret) => text.replaceAll(secret, HIDDEN), value);
  if (Array.isArray(value)) return value.map((item) => scrubbed(item, values));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, scrubbed(inner, values)]));
}
