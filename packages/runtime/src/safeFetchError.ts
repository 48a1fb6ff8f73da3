/** Why a fetch did not happen, or ended early. */
export type SafeFetchErrorCode =
  | "bad_url" // not a URL, a scheme that is not fetched, or a password in it
  | "address_refused" // not public, and no operator opened it
  | "redirect_refused" // redirected where redirects were not wanted, or to what cannot be fetched
  | "too_many_redirects"
  | "unreachable" // no such name, nobody listens, TLS failed, or no HTTP was spoken
  | "timed_out" // the whole took too long
  | "idle" // nothing came for too long
  | "too_large"
  | "length_mismatch" // fewer bytes came than were declared
  | "aborted"; // by the caller's signal, which is the cause

/** The one error of `safeFetch`. Its message may be shown to a customer: it names the host, no query and no answer. */
export class SafeFetchError extends Error {
  override readonly name = "SafeFetchError";
  readonly code: SafeFetchErrorCode;
  /** The HTTP status, where there was one (`redirect_refused`, `too_many_redirects`, `too_large`). */
  readonly status: number | undefined;

  constructor(code: SafeFetchErrorCode, message: string, options: ErrorOptions & { readonly status?: number } = {}) {
    super(message, options);
    this.code = code;
    this.status = options.status;
  }
}
