import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { graph, never, pair } from "./clientSetup.ts";
import { picture, slow } from "./setup.ts";

const ROUNDS = 250;

/** Newest way to cancel, and the older one by an interrupt. */
test.each(["0.33.0", "0.3.64"])(
  "cancelling races 250 times with the end, on %s: it always stops, and the prompt behind it is never touched",
  async (version) => {
    const both = await pair({ version, previews: false });
    const { comfyui, simulator } = both;
    const ends = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const [mine, other] = [randomUUID(), randomUUID()];
      await comfyui.submit({ promptId: mine, workflow: graph(slow(10, 5, `${round}`)) });
      await comfyui.submit({ promptId: other, workflow: graph(picture(round)) });
      const watched = comfyui.watch(other, { signal: never, stallMs: 0 });
      await pause(round % 25); // before it starts, while it runs, and when it is over
      expect(await comfyui.cancel(mine, { deadlineMs: 60_000 })).toMatchObject({ stopped: true });
      expect((await watched).outputs.files).toHaveLength(1);
      const end = simulator.stats().prompts.find(({ promptId }) => promptId === mine)?.outcome ?? "removed";
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
    expect([...ends.keys()].filter((end) => end !== "success" && end !== "interrupted" && end !== "removed")).toEqual(
      [],
    );
    expect(Math.min(ends.get("success") ?? 0, ends.get("interrupted") ?? 0)).toBeGreaterThan(0); // it was a race
    expect(await comfyui.queue()).toEqual({ running: [], pending: [] });
  },
  120_000,
);
