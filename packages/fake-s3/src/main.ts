import { readConfig } from "./config.ts";
import { startFakeS3 } from "./startFakeS3.ts";

// Runs until it is killed; what has been answered is in the folder by then.
const config = readConfig(process.argv.slice(2));
const fake = await startFakeS3(config);
fake.setBandwidth(config);
process.stdout.write(`${JSON.stringify({ url: fake.url, port: fake.port, buckets: config.buckets })}\n`);
