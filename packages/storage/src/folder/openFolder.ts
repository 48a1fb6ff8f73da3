import { checkFolderPrefix, checkKey } from "../checkKey.ts";
import { checkStorage } from "../checkStorage.ts";
import { safeContentType } from "../contentTypeOf.ts";
import { lastSegment, linkTtlSeconds, type StorageSettings } from "../settings.ts";
import type { LinkOptions, Storage, StorageLink, UploadLink, UploadLinkOptions } from "../storage.ts";
import { storageError } from "../storageError.ts";
import { folderCopy } from "./folderCopy.ts";
import { folderGet, folderHead } from "./folderGet.ts";
import { signFolderLink } from "./folderLink.ts";
import { folderList, folderRemove, folderSweep } from "./folderList.ts";
import { FolderPlace } from "./folderPlace.ts";
import { folderPut, folderPutIfAbsent } from "./folderPut.ts";
import { signFolderUpload } from "./uploadLink.ts";

/** A store in a folder of a local or shared file system with hard links. @param root absolute path */
export function openFolder(root: string, settings: StorageSettings): Storage {
  const place = new FolderPlace(root);
  const { idleTimeoutMs, nowMs } = settings;
  const storage: Storage = {
    kind: "folder",
    place: place.place,
    put: (key, body, options) => folderPut({ place, key, idleTimeoutMs }, body, options),
    putIfAbsent: (key, body, options) => folderPutIfAbsent({ place, key, idleTimeoutMs }, body, options),
    copy: (from, to, options = {}) => folderCopy(place, { from, to, ...options }),
    get: (key, options = {}) => folderGet({ place, key, idleTimeoutMs }, options),
    head: async (key) => folderHead(place, checkKey(key)),
    link: async (key, options = {}) => folderLink(place, settings, { key: checkKey(key), options }),
    uploadLink: async (key, options) => folderUploadLink(place, settings, { key: checkKey(key), options }),
    list: (prefix, options = {}) => folderList(place, prefix, options),
    remove: async (key) => void (await folderRemove(place, key)),
    removePrefix: (prefix) => removeBelow(place, prefix),
    sweep: ({ olderThanMs }) => folderSweep(place, nowMs() - olderThanMs),
    check: () => checkStorage(storage),
    close: async () => {},
  };
  return storage;
}

function folderLink(
  place: FolderPlace,
  { linkBase, linkSecret, nowMs }: StorageSettings,
  { key, options }: { key: string; options: LinkOptions },
): StorageLink {
  if (linkBase === undefined || linkSecret === undefined || linkSecret === "") {
    const detail = "a folder needs a link base and a link secret to give links";
    throw storageError("not_configured", place.doing("link", key), { detail });
  }
  const expires = Math.ceil(nowMs() / 1000) + linkTtlSeconds(options);
  const contentType = options.contentType === undefined ? "" : safeContentType(options.contentType);
  const downloadName = options.downloadName ?? lastSegment(key);
  const url = signFolderLink(linkBase, linkSecret, { key, expires, downloadName, contentType });
  return { url, expiresAtMs: expires * 1000 };
}

function folderUploadLink(
  place: FolderPlace,
  { uploadBase, linkSecret, nowMs }: StorageSettings,
  { key, options }: { key: string; options: UploadLinkOptions },
): UploadLink {
  if (uploadBase === undefined || linkSecret === undefined || linkSecret === "") {
    const detail = "a folder needs an upload base and a link secret to give links for uploads";
    throw storageError("not_configured", place.doing("link", key), { detail });
  }
  const expires = Math.ceil(nowMs() / 1000) + linkTtlSeconds(options);
  const url = signFolderUpload(uploadBase, linkSecret, { key, expires, sizeBytes: options.sizeBytes });
  return { url, method: "PUT", headers: {}, expiresAtMs: expires * 1000 };
}

async function removeBelow(place: FolderPlace, prefix: string): Promise<{ removed: number }> {
  checkFolderPrefix(prefix);
  let removed = 0;
  for await (const { key } of folderList(place, prefix, {})) removed += Number(await folderRemove(place, key));
  return { removed };
}
