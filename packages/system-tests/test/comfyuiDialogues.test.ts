import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { normalise, normaliseBinary, RECORDINGS, type RecordedScenario } from "@comfyq/comfyui/recordings";
import { type Simulator, startSimulator } from "@comfyq/comfyui-simulator";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ComfyListener, listenAt } from "./comfyListener.ts";
import { comparable, DIFFERENCES, type Dialogue, greeting } from "./comfyuiDifferences.ts";
import { readJson, type System, setup } from "./setup.ts";

const CLIENT = "the-client";
const OTHER = "the-other";

describe.each(RECORDINGS)("what ComfyUI $version said, comfyq says", ({ version, scenarios, connect }) => {
  const dir = mkdtempSync(join(tmpdir(), "comfyq-dialogues-"));
  let simulator: Simulator;
  let system: System;
  let client: ComfyListener;
  let other: ComfyListener;

  beforeAll(async () => {
    simulator = await startSimulator({ version, dir, recordedNodes: true, models: {} });
    system = await setup({ comfyUiUrls: [simulator.url] });
    client = await listenAt(system.url, CLIENT, { supports_preview_metadata: true });
    other = await listenAt(system.url, OTHER);
  }, 60_000);

  afterAll(async () => {
    await system?.[Symbol.asyncDispose](); // undefined when it did not start
    await simulator.close();
    rmSync(dir, { recursive: true });
  });

  test("both sockets are greeted", () => {
    expect(greeting(take(client))).toEqual(greeting(frames(connect.client)));
    expect(take(other)).toEqual(normalise(connect.other));
  });

  // One server, in the recorded order: numbers run through.
  test.each(scenarios)("$name", async (scenario) => {
    const { request, response_status } = scenario;
    const wish = "client_id" in request ? { ...request, client_id: CLIENT } : request;
    const answer = await system.post("/prompt", wish);
    const body = await readJson<{ prompt_id?: string }>(answer);
    const names = { clientId: CLIENT, otherClientId: OTHER, ...(body.prompt_id ? { promptId: body.prompt_id } : {}) };
    const steps = stepsBeforeInterrupt(scenario);
    if (steps !== undefined) await interruptAfter(steps, body.prompt_id);
    await ended(body.prompt_id);
    const isAccepted = body.prompt_id !== undefined;
    const read = async (path: string) => normalise(await readJson(system.get(path)), names);
    const heard: Dialogue = {
      status: answer.status,
      answer: normalise(body, names),
      client: take(client, names),
      other: take(other, names),
      history: isAccepted ? await read(`/history/${body.prompt_id}`) : null,
      job: isAccepted ? await read(`/api/jobs/${body.prompt_id}`) : null,
    };
    const recorded: Dialogue = {
      status: response_status,
      answer: normalise(scenario.response),
      client: frames(scenario.client_frames),
      other: frames(scenario.other_client_frames),
      history: normalise(scenario.history),
      job: normalise(scenario.job),
    };
    expect(comparable(heard, scenario.name, version)).toEqual(comparable(recorded, scenario.name, version));
  });

  /** Both have heard all that there is to hear. */
  async function ended(promptId: string | undefined): Promise<void> {
    if (promptId !== undefined) await other.until(isIdle);
    await other.flush();
    await client.flush();
  }

  async function interruptAfter(steps: number, promptId: string | undefined): Promise<void> {
    const isThere = steps > 0 ? () => client.count("progress") >= steps : () => isAt(client, "2");
    await client.until(isThere);
    expect((await system.post("/interrupt", { prompt_id: promptId })).status).toBe(200);
  }
});

/** The newest frame says that nothing is left. */
function isIdle(frames: readonly unknown[]): boolean {
  const last = frames.at(-1);
  return frames.length > 1 && !(last instanceof Uint8Array) && JSON.stringify(last).includes('"queue_remaining":0');
}

/** ComfyUI works at this node. */
function isAt({ frames }: ComfyListener, node: string): boolean {
  return frames.some((frame) => JSON.stringify(frame).includes(`"node":"${node}"`));
}

function frames(recorded: readonly unknown[]): readonly unknown[] {
  return recorded.map((frame) => normalise(frame));
}

/** Takes what a socket has received, in the form of the recordings. */
function take(
  listener: ComfyListener,
  names: Parameters<typeof normalise>[1] = { clientId: CLIENT, otherClientId: OTHER },
): readonly unknown[] {
  return listener.frames
    .splice(0)
    .map((frame) => (frame instanceof Uint8Array ? normaliseBinary(frame, names) : normalise(frame, names)));
}

/** After how many steps the recorded prompt was interrupted; undefined when it was not. */
function stepsBeforeInterrupt({ client_frames }: RecordedScenario): number | undefined {
  const types = client_frames.flatMap((frame) => ("type" in frame ? [frame.type] : []));
  return types.includes("execution_interrupted") ? types.filter((type) => type === "progress").length : undefined;
}

test("every difference says why, and is about something that was recorded", () => {
  const names = RECORDINGS.flatMap(({ scenarios }) => scenarios.map(({ name }) => name));
  for (const { scenarios, reason, version } of DIFFERENCES) {
    expect(reason.length).toBeGreaterThan(20);
    for (const name of scenarios === "all" ? [] : scenarios) expect(names).toContain(name);
    if (version !== undefined) expect(RECORDINGS.map((recording) => recording.version)).toContain(version);
  }
});
