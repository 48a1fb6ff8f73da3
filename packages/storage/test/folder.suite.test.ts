import { openTestFolder } from "./stores.ts";
import { storageSuite } from "./suite.ts";

storageSuite("a folder", (options) => openTestFolder(options));
