import { openTestS3 } from "./stores.ts";
import { storageSuite } from "./suite.ts";

storageSuite("S3", (options) => openTestS3(options));
storageSuite("a store like MinIO", (options) => openTestS3(options, { dialect: "minio" }));
storageSuite("a store like R2, without checksums", (options) =>
  openTestS3({ ...options, checksums: "when_required" }, { dialect: "r2" }),
);
