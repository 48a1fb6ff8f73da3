import { canonicalJson, type NewJob } from "@comfyq/contract";
import type { JobSubmission } from "@comfyq/queue";
import type { SecretBox } from "@comfyq/runtime";

/** Who seals the secrets of a job, and whose they are. */
export interface Sealer {
  readonly box: SecretBox;
  readonly tenant: string;
}

/** A job without what nobody may see of it: its secrets, and the headers of its webhook. */
export interface HiddenJob extends Pick<JobSubmission, "sealedSecrets" | "sealedHeaders"> {
  readonly job: Omit<NewJob, "secrets">;
  /** The body that tells a repeat from another, with what only tells secrets apart in their place; undefined: it had none. */
  readonly told: object | undefined;
}

/** @param body as sent */
export function hideSecrets({ secrets, ...job }: NewJob, body: object, { box, tenant }: Sealer): HiddenJob {
  const { webhook } = job;
  const headers = webhook?.headers;
  if (!secrets && !headers) return { job, told: undefined };
  const seal = (part: object | undefined) => part && box.seal(JSON.stringify(part), tenant);
  const digest = (part: object) => box.digest(canonicalJson(part));
  const { headers: _hidden, ...named } = webhook ?? { headers };
  const toldWebhook = headers && { webhook: { ...named, headers: digest(headers) } };
  return {
    job: webhook ? { ...job, webhook: { ...webhook, headers: undefined } } : job,
    told: { ...body, ...(secrets && { secrets: digest(secrets) }), ...toldWebhook },
    sealedSecrets: seal(secrets),
    sealedHeaders: seal(headers),
  };
}
