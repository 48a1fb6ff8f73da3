import { openTestS3 } from "./stores.ts";
import { storageSuite } from "./suite.ts";

storageSuite("S3", (options) => openTestS3(options));
storageSuite("S3 without checksums", (options) => openTestS3({ ...options, checksums: "when_required" }));
