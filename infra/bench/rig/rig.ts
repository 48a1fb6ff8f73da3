import { type Running, startProcess } from "../../../packages/system-tests/test/processes.ts";
import { readJson, type SetupOptions, type System, setup } from "../../../packages/system-tests/test/setup.ts";
import { type InputHost, startInputHost } from "./inputHost.ts";
import { type Receiver, startReceiver } from "./receiver.ts";

/** Bytes a second of a line of so many Mbit/s. */
export const mbit = (speed: number): number => (speed * 1_000_000) / 8;

export interface RigOptions extends SetupOptions {
  /** Speed of each line: of the input host, and of S3 up and down. Undefined: no limit. */
  readonly lineBytesPerSecond?: number;
  /** False: files go to a folder. Default: to an S3 in a process of its own, which keeps no file above 1 MB. */
  readonly hasS3?: boolean;
  readonly receiverAnswersAfterMs?: number;
  /** Workers that do one thing after the other. */
  readonly isNaive?: boolean;
}

/** The whole product as real processes, and the world around it at the speeds a benchmark wants. */
export interface Rig extends AsyncDisposable {
  readonly system: System;
  readonly inputs: InputHost;
  readonly receiver: Receiver;
  readonly s3: Running | undefined;
}

export async function openRig(options: RigOptions = {}): Promise<Rig> {
  const { lineBytesPerSecond, hasS3 = true, receiverAnswersAfterMs = 0, isNaive = false, ...setupOptions } = options;
  const s3 = hasS3 ? await startS3(lineBytesPerSecond) : undefined;
  const inputs = await startInputHost(lineBytesPerSecond);
  const receiver = await startReceiver(receiverAnswersAfterMs);
  const naive = isNaive ? { COMFYQ_NAIVE: "1" } : {};
  // No history of a test: writing one would be most of what a short job costs.
  const env = { COMFYQ_HISTORY_FILE: "", ...(s3 ? s3Env(String(s3.ready["url"])) : {}), ...naive, ...options.env };
  const system = await setup({ ...setupOptions, env });
  return {
    system,
    inputs,
    receiver,
    s3,
    [Symbol.asyncDispose]: async () => {
      await system[Symbol.asyncDispose]();
      await s3?.stop("SIGKILL");
      await inputs[Symbol.asyncDispose]();
      await receiver[Symbol.asyncDispose]();
    },
  };
}

function startS3(bytesPerSecond: number | undefined): Promise<Running> {
  const speed = String(bytesPerSecond ?? "");
  const line = ["--up-bytes-per-second", speed, "--down-bytes-per-second", speed];
  return startProcess("s3", { args: ["--bucket", "bench", "--forget-above-bytes", "1000000", ...line] });
}

export function s3Env(url: string): Record<string, string> {
  return {
    S3_BUCKET: "bench",
    S3_ENDPOINT: url,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "comfyq",
    AWS_SECRET_ACCESS_KEY: "comfyq-secret",
  };
}

/** What a simulator tells of one prompt; times in Unix ms with fractions, as all processes of this machine tell them. */
export interface PromptTimes {
  readonly job?: string;
  readonly started: number;
  readonly arrivedAtMs: number;
  readonly executionStartAtMs?: number;
  readonly executionEndAtMs?: number;
  readonly busyMs: number;
}

interface SimulatorFacts {
  readonly originUnixMs: number;
  readonly prompts: readonly PromptTimes[];
}

export async function promptsOf(instance: string | undefined): Promise<readonly PromptTimes[]> {
  const { originUnixMs, prompts } = await readJson<SimulatorFacts>(fetch(`${instance}/simulator/stats`));
  return prompts.map((prompt) => ({
    ...prompt,
    arrivedAtMs: prompt.arrivedAtMs + originUnixMs,
    ...(prompt.executionStartAtMs && { executionStartAtMs: prompt.executionStartAtMs + originUnixMs }),
    ...(prompt.executionEndAtMs && { executionEndAtMs: prompt.executionEndAtMs + originUnixMs }),
  }));
}

/** This moment, on the same clock. */
export const unixMs = (): number => performance.timeOrigin + performance.now();
