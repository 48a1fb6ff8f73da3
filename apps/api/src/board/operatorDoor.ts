import { safeEqual, sha256Hex } from "@comfyq/runtime";
import type { Request } from "express";
import { shownKey } from "../auth/authenticate.ts";
import { createFailureLimit } from "../auth/failureLimit.ts";
import { isExpired } from "../auth/keyRing.ts";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";

/** Tells operators from others: by COMFYQ_OPERATOR_KEY, or by an API key with the scope admin. */
export interface OperatorDoor {
  isOperator(req: Request): boolean;
  /** The refusal that makes a browser ask for a password. */
  challenge(message: string): ApiError;
}

export function createOperatorDoor({ settings, keys }: Rooms): OperatorDoor {
  const limit = createFailureLimit();
  const isRight = (shown: string): boolean => {
    const { COMFYQ_OPERATOR_KEY: operatorKey } = settings;
    if (operatorKey !== undefined && safeEqual(operatorKey, shown)) return true;
    const key = keys.find(sha256Hex(shown));
    return key?.scopes.includes("admin") === true && !isExpired(key);
  };
  return {
    isOperator: (req) => {
      const shown = passwordOf(req) ?? shownKey(req);
      const address = req.socket.remoteAddress ?? "";
      if (shown === undefined || limit.secondsToWait(address) > 0) return false;
      if (isRight(shown)) return true;
      limit.note(address);
      return false;
    },
    challenge: (message) =>
      new ApiError("unauthorized", message, {
        headers: { "WWW-Authenticate": 'Basic realm="comfyq operators", charset="UTF-8"' },
      }),
  };
}

/** The password of Basic authentication (RFC 7617); the user name does not matter. */
function passwordOf(req: Request): string | undefined {
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(req.get("authorization") ?? "") ?? [];
  if (encoded === undefined) return undefined;
  const pair = Buffer.from(encoded, "base64").toString("utf8");
  return pair.includes(":") ? pair.slice(pair.indexOf(":") + 1) : undefined;
}
