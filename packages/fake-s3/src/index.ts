export type { S3ErrorCode } from "./fakeS3Error.ts";
export { FakeS3Error } from "./fakeS3Error.ts";
export type { ActiveFault, Fault, FaultEffect, Faults } from "./faults.ts";
export type { Bandwidth } from "./link.ts";
export type { S3Operation } from "./operation.ts";
export { type FakeS3, type FakeS3Options, startFakeS3 } from "./startFakeS3.ts";
export type { FakeS3Stats } from "./stats.ts";
