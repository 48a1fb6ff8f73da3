export { attachmentHeader } from "./attachmentHeader.ts";
export { checkKey } from "./checkKey.ts";
export { contentTypeOf, safeContentType } from "./contentTypeOf.ts";
export { type FolderLinkClaim, type FolderLinkVerdict, verifyFolderLink } from "./folder/folderLink.ts";
export { type FolderUploadClaim, type FolderUploadVerdict, verifyFolderUpload } from "./folder/uploadLink.ts";
export { openStorage } from "./openStorage.ts";
export { safeKeySegment } from "./safeKeySegment.ts";
export type { S3Credentials, StorageOptions } from "./settings.ts";
export type {
  BodySource,
  ByteSpan,
  FetchedObject,
  GetOptions,
  LinkOptions,
  ListedObject,
  ListOptions,
  ObjectFacts,
  PutBody,
  PutIfAbsentOptions,
  PutOptions,
  Storage,
  StorageLink,
  StoredObject,
  UploadLink,
  UploadLinkOptions,
} from "./storage.ts";
export { STORAGE_ERRORS, StorageError, type StorageErrorCode } from "./storageError.ts";
