import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { normalise, normaliseBinary, RECORDINGS, type RecordedScenario } from "@comfyq/comfyui/recordings";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Simulator, startSimulator } from "../src/index.ts";
import { eventually, type Listener, listen, post, readJson } from "./setup.ts";
import { type SteppedClock, steppedClock } from "./steppedClock.ts";

const CLIENT = "the-client";
const OTHER = "the-other";

describe.each(RECORDINGS)("ComfyUI $version", ({ version, scenarios, connect }) => {
  const dir = mkdtempSync(join(tmpdir(), "comfyq-replay-"));
  let clock: SteppedClock;
  let simulator: Simulator;
  let client: Listener;
  let other: Listener;

  beforeAll(async () => {
    clock = steppedClock();
    simulator = await startSimulator({ version, dir, recordedNodes: true, models: {}, clock });
    client = await listen(simulator, CLIENT, { supports_preview_metadata: true });
    other = await listen(simulator, OTHER);
  });

  afterAll(async () => {
    await simulator.close();
    rmSync(dir, { recursive: true });
  });

  test("greets both sockets as recorded", () => {
    expect(take(client)).toEqual(normalise(connect.client));
    expect(take(other)).toEqual(normalise(connect.other));
  });

  // One server, in the recorded order: numbers, file counters and the cache run through.
  test.each(scenarios)("$name", async (scenario) => {
    const { request, response_status, response, history, job } = scenario;
    const wish = "client_id" in request ? { ...request, client_id: CLIENT } : request;
    const interruption = interruptionOf(scenario);
    if (interruption) clock.hold();
    const answer = await post(simulator, "/prompt", wish);
    const body = await readJson<{ prompt_id?: string }>(answer);
    const names = { clientId: CLIENT, otherClientId: OTHER, ...(body.prompt_id ? { promptId: body.prompt_id } : {}) };
    expect(answer.status).toBe(response_status);
    expect(normalise(body, names)).toEqual(normalise(response));
    if (interruption) await interrupt(interruption);
    await arrived(scenario);
    expect(take(client, names)).toEqual(normalise(scenario.client_frames));
    expect(take(other, names)).toEqual(normalise(scenario.other_client_frames));
    if (!history) return;
    const path = `${simulator.url}/history/${body.prompt_id}`;
    const entry = await eventually(
      () => readJson<object>(fetch(path)),
      (found) => Object.keys(found).length > 0,
    );
    expect(normalise(entry, names)).toEqual(normalise(history));
    const jobAnswer = await fetch(`${simulator.url}/api/jobs/${body.prompt_id}`);
    expect(jobAnswer.status).toBe(job ? 200 : 404);
    if (job) expect(normalise(await jobAnswer.json(), names)).toEqual(normalise(job));
  });

  /** As in the recording: so many steps, then the interrupt, then on. */
  async function interrupt({ steps }: { readonly steps: number }): Promise<void> {
    for (let step = 0; step < steps; step++) await clock.release();
    await clock.untilAsleep();
    expect((await post(simulator, "/interrupt", {})).status).toBe(200);
    clock.letGo();
  }

  async function arrived(scenario: RecordedScenario): Promise<void> {
    await eventually(
      () => [client.frames.length, other.frames.length],
      ([mine = 0, theirs = 0]) =>
        mine >= scenario.client_frames.length && theirs >= scenario.other_client_frames.length,
    );
    await client.flush();
    await other.flush();
  }
});

/** Takes what a socket has received, in the form of the recordings. */
function take(
  listener: Listener,
  names: Parameters<typeof normalise>[1] = { clientId: CLIENT, otherClientId: OTHER },
): unknown {
  return listener.frames
    .splice(0)
    .map((frame) => (frame instanceof Uint8Array ? normaliseBinary(frame, names) : normalise(frame, names)));
}

/** After how many steps the recorded prompt was interrupted; undefined when it was not. */
function interruptionOf({ client_frames }: RecordedScenario): { readonly steps: number } | undefined {
  const text = client_frames.flatMap((frame) => ("type" in frame ? [frame.type] : []));
  if (!text.includes("execution_interrupted")) return undefined;
  return { steps: text.filter((type) => type === "progress").length };
}
