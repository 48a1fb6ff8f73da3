import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FAULT_KINDS } from "../src/index.ts";
import { eventually, finished, picture, post, readJson, run, start, submit } from "./setup.ts";
import { steppedClock } from "./steppedClock.ts";

test("http_hang: the request gets no answer, acted upon or not, until the fault is cleared", async () => {
  const simulator = await start({ faults: [{ kind: "http_hang", path: "/prompt", method: "POST", when: "after" }] });
  let isAnswered = false;
  const hanging = submit(simulator, picture()).then(
    () => {
      isAnswered = true;
    },
    (error: unknown) => error,
  );
  await eventually(simulator.stats, ({ prompts }) => prompts[0]?.outcome === "success");
  expect(isAnswered).toBe(false);
  simulator.faults.clear();
  expect(await hanging).toBeInstanceOf(Error);
});

test("http_500 and http_reset: before the server acts nothing is queued, after it everything is", async () => {
  const simulator = await start();
  const accepted = (): number => simulator.stats().prompts.length;
  simulator.faults.add({ kind: "http_500", path: "/prompt", method: "POST", status: 502 });
  expect((await post(simulator, "/api/prompt", { prompt: picture() })).status).toBe(502);
  expect(accepted()).toBe(0);
  simulator.faults.add({ kind: "http_500", path: "/prompt", when: "after" });
  expect((await post(simulator, "/prompt", { prompt: picture() })).status).toBe(500);
  expect(accepted()).toBe(1);
  simulator.faults.add({ kind: "http_reset", path: "/prompt", when: "after", times: 2 });
  await expect(post(simulator, "/prompt", { prompt: picture() })).rejects.toThrow();
  await expect(post(simulator, "/prompt", { prompt: picture() })).rejects.toThrow();
  expect(accepted()).toBe(3);
  expect((await post(simulator, "/prompt", { prompt: picture() })).status).toBe(200);
});

test("http_slow: the answer waits, and then is the usual one", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, faults: [{ kind: "http_slow", path: "/hist*", ms: 700 }] });
  clock.hold();
  const answer = fetch(`${simulator.url}/history`);
  await clock.untilAsleep();
  clock.letGo();
  expect(await readJson(answer)).toEqual({});
});

test("http_slow: an upload can be slow too, and is stored", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, faults: [{ kind: "http_slow", path: "/upload/image", ms: 700 }] });
  clock.hold();
  const form = new FormData();
  form.set("image", new Blob(["x"]), "x.txt");
  const uploaded = fetch(`${simulator.url}/upload/image`, { method: "POST", body: form });
  await clock.untilAsleep();
  expect(existsSync(join(simulator.dir, "input", "x.txt"))).toBe(false);
  clock.letGo();
  expect((await uploaded).status).toBe(200);
  expect(existsSync(join(simulator.dir, "input", "x.txt"))).toBe(true);
});

test("http_cut and http_stall: the head promises a whole file, half of it comes", async () => {
  const simulator = await start();
  await run(simulator, picture());
  const url = `${simulator.url}/view?filename=ComfyUI_00001_.png`;
  const whole = (await (await fetch(url)).arrayBuffer()).byteLength;
  simulator.faults.add({ kind: "http_cut", path: "/view" });
  const cut = await fetch(url);
  expect([cut.status, cut.headers.get("content-length")]).toEqual([200, String(whole)]);
  await expect(cut.arrayBuffer()).rejects.toThrow();
  simulator.faults.add({ kind: "http_stall", path: "/view" });
  const reader = (await fetch(url)).body?.getReader();
  let got = 0;
  while (got < Math.floor(whole / 2)) got += (await reader?.read())?.value?.length ?? 0;
  expect(got).toBe(Math.floor(whole / 2));
  const more = reader?.read();
  simulator.faults.clear();
  await expect(more).rejects.toThrow();
  expect((await fetch(url)).status).toBe(200);
});

test("a file can be gone for one request only", async () => {
  const simulator = await start({ faults: [{ kind: "http_500", path: "/view", status: 404 }] });
  await run(simulator, picture());
  const view = async () => (await fetch(`${simulator.url}/view?filename=ComfyUI_00001_.png`)).status;
  expect([await view(), await view()]).toEqual([404, 200]);
});

test("a fault that strikes every path leaves the simulator's own paths alone, so that it can be ended", async () => {
  const simulator = await start({ faults: [{ kind: "http_hang", path: "*", times: 1000 }] });
  const hanging = fetch(`${simulator.url}/queue`).catch((error: unknown) => error);
  await eventually(
    () => simulator.faults.list(),
    ([fault]) => fault?.left === 999,
  );
  expect((await fetch(`${simulator.url}/simulator/faults`, { method: "DELETE" })).status).toBe(200);
  expect(await hanging).toBeInstanceOf(Error);
  expect((await fetch(`${simulator.url}/queue`)).status).toBe(200);
});

test("a restart over HTTP is answered first, refuses connections while it is down, and forgets everything", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  await run(simulator, picture());
  clock.hold();
  expect((await post(simulator, "/simulator/restart", { downMs: 5000 })).status).toBe(200);
  await clock.untilAsleep();
  await expect(fetch(simulator.url)).rejects.toThrow();
  clock.letGo();
  const history = await eventually(
    () =>
      fetch(`${simulator.url}/history`)
        .then((found) => found.json())
        .catch(() => undefined),
    (found) => found !== undefined,
  );
  expect(history).toEqual({});
});

test("node_errors_200: the prompt is accepted with errors, and its last output does not run", async () => {
  const simulator = await start({ faults: [{ kind: "node_errors_200" }] });
  const graph = { ...picture(), "3": { class_type: "PreviewImage", inputs: { images: ["1", 0] } } };
  const { status, prompt_id, node_errors } = await submit(simulator, graph);
  expect([status, Object.keys(node_errors)]).toEqual([200, ["3"]]);
  expect(Object.keys((await finished(simulator, prompt_id)).outputs)).toEqual(["2"]);
});

test("validate_ms: while a prompt is validated the server answers nobody", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, faults: [{ kind: "validate_ms", ms: 5000 }] });
  clock.hold();
  const order: string[] = [];
  const submission = submit(simulator, picture()).then(() => order.push("submission"));
  await clock.untilAsleep();
  const other = fetch(`${simulator.url}/queue`).then(() => order.push("other"));
  expect(order).toEqual([]);
  clock.letGo();
  await Promise.all([submission, other]);
  expect(simulator.faults.list()).toHaveLength(1); // it lasts
});

test("upload_fail: one upload is answered with 500 and stores nothing", async () => {
  const simulator = await start({ faults: [{ kind: "upload_fail" }] });
  const upload = async (): Promise<number> => {
    const form = new FormData();
    form.set("image", new Blob(["x"]), "x.txt");
    return (await fetch(`${simulator.url}/upload/image`, { method: "POST", body: form })).status;
  };
  expect(await upload()).toBe(500);
  expect(existsSync(join(simulator.dir, "input", "x.txt"))).toBe(false);
  expect(await upload()).toBe(200);
});

test("faults are set, listed and cleared over HTTP, and nonsense is refused with the reason", async () => {
  const simulator = await start();
  const path = "/simulator/faults";
  const listed = {
    faults: [
      { kind: "oom_next", id: 1, left: 1 },
      { kind: "exec_slow", factor: 2, id: 2, left: null },
    ],
  };
  expect(await readJson(post(simulator, path, [{ kind: "oom_next" }, { kind: "exec_slow", factor: 2 }]))).toEqual(
    listed,
  );
  expect(await readJson(fetch(simulator.url + path))).toEqual(listed);
  for (const wrong of [
    { kind: "nonsense" },
    { kind: "http_500" },
    { kind: "zombie", at: "never" },
    { kind: "zombie", x: 1 },
    7,
  ]) {
    const answer = await post(simulator, path, wrong);
    expect([answer.status, (await readJson<{ error: string }>(answer)).error]).toEqual([
      400,
      expect.stringContaining("is not a fault"),
    ]);
  }
  await fetch(`${simulator.url}${path}?kind=oom_next`, { method: "DELETE" });
  expect(simulator.faults.list().map(({ kind }) => kind)).toEqual(["exec_slow"]);
  await fetch(simulator.url + path, { method: "DELETE" });
  expect(simulator.faults.list()).toEqual([]);
});

test("every kind of fault stands in the README", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  expect(FAULT_KINDS.filter((kind) => !readme.includes(`\`${kind}\``))).toEqual([]);
});
