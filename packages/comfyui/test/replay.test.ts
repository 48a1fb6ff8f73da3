import { describe, expect, test } from "vitest";
import { ComfyError } from "../src/index.ts";
import { normalise, RECORDINGS, type RecordedScenario, type Recording, recreate } from "../src/recordings/index.ts";
import { PROMPT_ID, type Stage, setup, type Tuple } from "./support/comfyScript.ts";
import { type Concluded, EXPECTED } from "./support/replayExpectations.ts";
import type { Reply, Seen } from "./support/scriptedServer.ts";

/** Frames after which history can be read (reference/comfyui-protocol.md §2.6). */
const ENDS = new Set(["execution_success", "execution_interrupted", "execution_error"]);

/**
 * Plays the server's part of one scenario: the recorded answer, and, when the client first asks where its prompt is,
 * the recorded frames in order. History becomes readable where it did for real.
 */
function play({ script, server }: Stage, scenario: RecordedScenario): void {
  const fill = (text: string) =>
    text.replaceAll("<PROMPT_ID>", PROMPT_ID).replaceAll("<CLIENT>", server.sockets[0]?.clientId ?? "");
  const filled = (value: unknown): unknown => JSON.parse(fill(JSON.stringify(value)));
  script.routes["POST /prompt"] = (request): Reply => {
    if (scenario.response_status === 200) script.accept(request);
    return { status: scenario.response_status, json: filled(scenario.response) };
  };
  script.routes["GET /queue"] = (): Reply => {
    const answer = { json: { queue_running: script.running, queue_pending: [] } };
    const item = Object.values(scenario.history ?? {}).map((entry) => (filled(entry) as { prompt: Tuple }).prompt);
    if (script.running.length > 0) setImmediate(sendFrames);
    return script.running.length > 0 ? { json: { queue_running: item, queue_pending: [] } } : answer;
  };

  function sendFrames(): void {
    if (script.running.length === 0) return;
    const { client_frames: frames } = scenario;
    const end = frames.findLastIndex((frame) => "type" in frame && ENDS.has(frame.type));
    const readableAt = end === -1 ? frames.length - 1 : end;
    for (const [index, frame] of frames.entries()) {
      if (index === readableAt) finish();
      server.sockets[0]?.sendRaw(recreate(frame, fill));
    }
  }

  function finish(): void {
    script.running = [];
    script.history.set(PROMPT_ID, filled(Object.values(scenario.history ?? {})[0]));
  }
}

async function conclude(stage: Stage, scenario: RecordedScenario): Promise<Concluded> {
  const concluded: Concluded = { nodes: [], previews: [], progress: [], outputs: [] };
  try {
    concluded.submitted = await stage.comfyui.submit({
      promptId: PROMPT_ID,
      workflow: scenario.request.prompt as never,
    });
    concluded.rendered = await stage.comfyui.watch(PROMPT_ID, {
      signal: AbortSignal.timeout(10_000),
      stallMs: 0,
      onNode: (node) => concluded.nodes.push(node),
      onPreview: (preview) => concluded.previews.push(preview),
      onProgress: (progress) => concluded.progress.push(progress),
      onOutput: (outputs) => concluded.outputs.push(outputs),
    });
  } catch (error) {
    if (!(error instanceof ComfyError)) throw error;
    concluded.error = error;
  }
  return concluded;
}

/** What was submitted, without what the client adds on purpose. */
function asRecorded({ json }: Seen, { request }: RecordedScenario): unknown {
  const { prompt_id, client_id, ...body } = json as Record<string, unknown>; // it was an object, or there is no prompt
  expect(prompt_id).toBe(PROMPT_ID);
  expect(client_id).toEqual(expect.stringMatching(/^[0-9a-f]{32}$/));
  return "client_id" in request ? { ...body, client_id: "<CLIENT>" } : body;
}

/** Graph nodes in the order in which the recorded `executing` frames name them, re-entries of the same node once. */
function startsOf({ client_frames }: RecordedScenario): string[] {
  const nodes = client_frames.flatMap((frame) =>
    "type" in frame && frame.type === "executing" ? [frame.data as { display_node?: string }] : [],
  );
  const names = nodes.flatMap(({ display_node }) => (display_node === undefined ? [] : [display_node]));
  return names.filter((name, index) => name !== names[index - 1]);
}

describe.each(RECORDINGS)("the client replays $version", ({ scenarios, version }: Recording) => {
  test.each(scenarios)("$name", async (scenario) => {
    await using stage = await setup();
    stage.script.version = version;
    play(stage, scenario);
    const concluded = await conclude(stage, scenario);

    const [posted, ...more] = stage.server.seen("POST", "/prompt");
    expect(more).toHaveLength(0);
    expect(posted && asRecorded(posted, scenario)).toEqual(scenario.request);

    const expected = EXPECTED[scenario.name];
    if (!expected) throw new Error(`Nothing is expected of ${scenario.name}: add it to replayExpectations.ts`);
    expected({ concluded, scenario, version });

    if (concluded.submitted) {
      const { promptId, number, nodeErrors } = concluded.submitted;
      expect({ prompt_id: "<PROMPT_ID>", number, node_errors: nodeErrors }).toEqual(scenario.response);
      expect(promptId).toBe(PROMPT_ID);
      expect(concluded.nodes.map((node) => node.node_id)).toEqual(startsOf(scenario));
    }
    const { job } = scenario;
    if (job) stage.script.routes[`GET /api/jobs/${PROMPT_ID}`] = () => ({ json: job });
    expect((await stage.comfyui.job(PROMPT_ID)) ?? null).toEqual(job);
    if (concluded.rendered) {
      const entry = normalise(concluded.rendered.entry, { promptId: PROMPT_ID, ...clientIdOf(stage) });
      expect(entry).toEqual(normalise(Object.values(scenario.history ?? {})[0]));
    }
  });
});

function clientIdOf(stage: Stage): { clientId?: string } {
  const clientId = stage.server.sockets[0]?.clientId;
  return clientId === undefined ? {} : { clientId };
}
