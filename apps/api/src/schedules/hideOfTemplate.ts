/** A job as it was sent, and what of it nobody may see. */
export interface OpenTemplate {
  /** Without the rest: what is kept, shown and filled in. */
  readonly template: Readonly<Record<string, unknown>>;
  readonly secrets: unknown;
  /** Of its webhook. */
  readonly headers: unknown;
}

export function hideOfTemplate(job: Readonly<Record<string, unknown>>): OpenTemplate {
  const { secrets, ...shown } = job;
  const { headers, ...webhook } = objectOf(shown["webhook"]);
  return { template: headers === undefined ? shown : { ...shown, webhook }, secrets, headers };
}

/** What stands there, if it is an object. */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
