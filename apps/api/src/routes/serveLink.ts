import { nowMs } from "@comfyq/runtime";
import { verifyFolderLink } from "@comfyq/storage";
import * as z from "zod";
import { ApiError } from "../errors.ts";
import { sendObject } from "../objects/sendObject.ts";
import type { Rooms } from "../rooms.ts";
import { type Route, route } from "../route.ts";
import { BYTES_ANSWERS } from "./showOutput.ts";

/** What the folder store puts before its links; `presentJob` puts our address before that. */
export const LINK_BASE = "/files";

const Query = z.looseObject({ expires: z.string(), name: z.string(), signature: z.string() }).partial();

/** Links to files of a folder store: whoever has one may read that one file until it expires; no key is asked for. */
export function serveLinkRoute(rooms: Rooms): Route {
  const { 302: _elsewhere, ...answers } = BYTES_ANSWERS;
  return route({
    method: "get",
    path: `${LINK_BASE}/{key...}`,
    scope: "open",
    tag: "Files",
    summary: "Read a file by its signed link",
    description:
      "The url of an output leads here when files are kept in a folder. Read the job again for a fresh link.",
    params: z.object({ key: z.string() }),
    query: Query,
    answers,
    errors: ["forbidden", "not_found"],
    run: (call) => {
      if (rooms.storage.kind !== "folder") throw new ApiError("not_found", "Files are kept in S3; links lead there");
      const key = call.params["key"] ?? "";
      const verdict = verifyFolderLink({ key, query: call.query, secret: rooms.linkSecret, nowMs: nowMs() });
      if (!verdict.valid)
        throw new ApiError(
          "forbidden",
          verdict.reason === "expired"
            ? "This link has expired; read the job again for a fresh one"
            : "This link was not made here, or was changed; use the url of an output as it came",
        );
      return sendObject(rooms.storage, call, {
        key,
        name: verdict.downloadName,
        contentType: verdict.contentType,
        mustDownload: true, // as links into a bucket do
      });
    },
  });
}
