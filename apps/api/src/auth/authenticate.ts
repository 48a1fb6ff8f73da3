import type { IncomingMessage } from "node:http";
import { DEFAULT_TENANT, SCOPES, type Scope } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";
import { cookieKey } from "../editor/editorKey.ts";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import { createFailureLimit } from "./failureLimit.ts";
import { isExpired, type KeyRing } from "./keyRing.ts";

/** Who asks. */
export interface Caller {
  readonly tenant: string;
  readonly scopes: readonly Scope[];
}

/** Without keys everything on this machine is one tenant that may do everything. */
const EVERYBODY: Caller = { tenant: DEFAULT_TENANT, scopes: SCOPES };

/** Keys accepted lately, by hash: their owners are let in although somebody else at their address guesses. */
const REMEMBERED_KEYS = 1_000;

export interface Authenticator {
  /**
   * @param shown the key, for a call that cannot have headers of its own
   * @throws ApiError `unauthorized` | `too_many_requests`
   */
  authenticate(req: IncomingMessage, shown?: string): Promise<Caller>;
}

/** Tells callers by their keys, and counts their calls where they are limited. */
export function createAuthenticator({
  keys,
  producer,
  settings,
}: Pick<Rooms, "keys" | "producer" | "settings">): Authenticator {
  // Only for the editor: all else is asked by programs, which have headers.
  const door = createDoor(keys, settings.COMFYQ_EDITOR_DIR === undefined ? () => undefined : cookieKey);
  return {
    authenticate: async (req, shown) => {
      const caller = await door.authenticate(req, shown);
      const { waitSeconds, perSecond } = await producer.admit(caller.tenant);
      if (waitSeconds === 0) return caller;
      const retryAfterSeconds = Math.max(1, Math.ceil(waitSeconds));
      throw new ApiError(
        "too_many_requests",
        `Your limit of ${perSecond} requests per second is reached; wait ${retryAfterSeconds} s`,
        {
          details: [{ path: "limits.requests_per_s", message: `at most ${perSecond}` }],
          retryAfterSeconds,
        },
      );
    },
  };
}

/** Tells callers by the keys of the ring; slows down whoever guesses. */
function createDoor(keys: KeyRing, cookie: (req: IncomingMessage) => string | undefined): Authenticator {
  const limit = createFailureLimit();
  const welcome = new Set<string>();
  return {
    authenticate: async (req, shown = shownKey(req) ?? cookie(req)) => {
      await keys.refresh();
      if (!keys.isRequired()) return EVERYBODY;
      if (shown === undefined) throw unauthorized("This call needs an API key; send it as Authorization: Bearer <key>");
      const address = req.socket.remoteAddress ?? "";
      const waitSeconds = limit.secondsToWait(address);
      const sha256 = sha256Hex(shown);
      if (waitSeconds > 0 && !welcome.has(sha256))
        throw new ApiError("too_many_requests", `Too many wrong API keys from your address; wait ${waitSeconds} s`, {
          retryAfterSeconds: waitSeconds,
        });
      const key = keys.find(sha256);
      if (!key || isExpired(key)) {
        limit.note(address);
        welcome.delete(sha256);
        throw unauthorized(key ? "This API key has expired; ask for a new one" : "This API key is not known here");
      }
      if (welcome.size < REMEMBERED_KEYS) welcome.add(sha256);
      return { tenant: key.tenant, scopes: key.scopes };
    },
  };
}

/** @throws ApiError `forbidden`, naming what is missing */
export function demandScope(caller: Caller, scope: Scope): void {
  if (caller.scopes.includes(scope)) return;
  const has = caller.scopes.join(", ");
  const message = `Your API key lacks the scope "${scope}"; it has: ${has}; ask the operator for one with that scope`;
  throw new ApiError("forbidden", message);
}

/** The key in the headers. A query is never looked at: it would end up in logs and histories. */
export function shownKey({ headers }: IncomingMessage): string | undefined {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "") ?? [];
  return bearer ?? [headers["x-api-key"]].flat()[0];
}

function unauthorized(message: string): ApiError {
  return new ApiError("unauthorized", message, { headers: { "WWW-Authenticate": "Bearer" } });
}
