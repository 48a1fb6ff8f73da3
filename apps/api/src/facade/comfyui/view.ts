import { isEditor } from "../../editor/editorKey.ts";
import { ApiError } from "../../errors.ts";
import { sendObject } from "../../objects/sendObject.ts";
import { sendLink, sendStored } from "../../objects/sendStored.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { isCloudClient } from "../cloud/isCloudClient.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { findFile, readAddress } from "./findFile.ts";
import { pictureWish, sendPicture } from "./sendPicture.ts";
import type { ComfyTools } from "./tools.ts";

/**
 * `GET /view`: one file, as it is or as a picture to look at. Clients of Comfy Cloud are sent a signed link to the file, wherever it is
 * kept: some take nothing else than a 302.
 */
export function viewRoutes(rooms: Rooms, tools: ComfyTools): readonly Route[] {
  return comfyRoute({
    method: "get",
    path: "/view",
    scope: "read",
    summary:
      "Read a file: ?filename=&subfolder=&type=output|input|temp, and to look at it preview=webp|jpeg;quality, channel=rgb|a",
    run: async (call) => {
      const address = addressOf(call);
      const found = await findFile(rooms, call, { address, uploads: tools.uploads });
      if (!found)
        throw new ApiError("not_found", "There is no such file; send filename, subfolder and type as they were told");
      const wish = pictureWish(textOf(call, "preview"), textOf(call, "channel"));
      if (wish && (await sendPicture(rooms, call, { found, wish, pictures: tools.pictures }))) return;
      // A page may not draw what comes from a bucket's own address, and ours may not even load it.
      if (isEditor(call.req, rooms.settings)) return sendObject(rooms.storage, call, found);
      await (isCloudClient(call) ? sendLink : sendStored)(rooms, call, found);
    },
  });
}

/** @throws ApiError `not_found` without a filename, `invalid_request` for what leads elsewhere */
function addressOf(call: Call) {
  const filename = textOf(call, "filename");
  if (filename === undefined) throw new ApiError("not_found", "There is no filename in the query");
  return readAddress({ filename, subfolder: textOf(call, "subfolder"), type: textOf(call, "type") });
}

function textOf({ req }: Call, name: string): string | undefined {
  const value = req.query[name];
  return typeof value === "string" ? value : undefined;
}
