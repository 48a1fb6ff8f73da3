import { readdir, readFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join, relative } from "node:path";
import { isTerminal } from "@comfyq/contract";
import { afterAll, expect, test, vi } from "vitest";
import { copyImage, PIXEL } from "./graphs.ts";
import { setup } from "./setup.ts";

const OPERATOR_KEY = "operator-key-of-this-test";
const MARKER = "MARKER9f31c7";

// An old ComfyUI: one that shows in its queue what it was sent. Every process says all there is to say.
const system = await setup({
  simulatorArgs: ["--version", "0.3.64", "--step-ms", "50"],
  env: { COMFYQ_LOG_LEVEL: "trace", COMFYQ_OPERATOR_KEY: OPERATOR_KEY },
});
afterAll(() => system[Symbol.asyncDispose]());

/** A private host: it gives the pixel to whoever has the token, and remembers who came. */
async function startPrivateHost() {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    const isWelcome = request.headers.authorization === `Bearer ${MARKER}-token`;
    if (isWelcome) response.end(Buffer.from(PIXEL, "base64"));
    else response.writeHead(401).end(`no: ${request.headers.authorization}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterAll(() => void server.close());
  const { port } = server.address() as AddressInfo; // listening on TCP, so it is one
  return { url: `http://127.0.0.1:${port}/private.png`, seen };
}

/** Every file of the installation but its key and ComfyUI's own. */
async function filesOf(dir: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !/^(secrets|comfyui-\d+)\//.test(relative(dir, file)));
  return (await Promise.all(files.map((file) => readFile(file, "latin1")))).join("");
}

test("a job's secrets reach its source and ComfyUI, and stand nowhere else: Redis, logs, answers, events, webhooks, board, files", async () => {
  const host = await startPrivateHost();
  const secrets = { mine: `${MARKER}-token`, wrong: `${MARKER}-wrong`, api_key_comfy_org: `${MARKER}-comfy` };
  const base = { workflow: copyImage("x.png"), secrets, webhook: { url: system.sink.url } };
  const submit = (credential: string) =>
    system.submit({ ...base, inputs: { "10.inputs.image": { url: host.url, credential } } });
  const [good, bad] = [await submit("mine"), await submit("wrong")];
  const ended = await Promise.all([good, bad].map(({ id }) => system.until(id, ({ status }) => isTerminal(status))));
  expect(ended[0]?.status).toBe("succeeded");
  expect(ended[1]).toMatchObject({ status: "failed", error: { code: "input_unavailable" } });
  expect(new Set(host.seen.map(({ headers }) => headers.authorization))).toEqual(
    new Set([`Bearer ${MARKER}-token`, `Bearer ${MARKER}-wrong`]),
  );
  await vi.waitFor(() => expect([good, bad].map(({ id }) => system.sink.received(id).length)).toEqual([1, 1]));

  const basic = { authorization: `Basic ${Buffer.from(`anybody:${OPERATOR_KEY}`).toString("base64")}` };
  const answers: string[] = [];
  for (const { id } of [good, bad]) {
    for (const path of ["", "/workflow", "/attempts", "/events"])
      answers.push(await (await system.get(`/v1/jobs/${id}${path}`)).text());
    for (const queue of ["jobs-default", "settlements", "deliveries"])
      answers.push(
        await (await fetch(`${system.url}/admin/queues/api/queues/${queue}/${id}`, { headers: basic })).text(),
      );
    answers.push(...system.sink.received(id).map(({ body }) => body));
  }
  answers.push(await (await system.get("/v1/jobs")).text(), await (await system.get("/v1/workers")).text());
  answers.push(
    await (
      await fetch(`${system.url}/admin/queues/api/queues?activeQueue=jobs-default&status=latest&page=1`, {
        headers: basic,
      })
    ).text(),
  );
  const logs = [system.api, system.dispatcher, ...system.workers].map((running) => running.log());
  expect(logs.join("")).toContain("shows a job's comfy.org keys in /queue");
  expect(answers.join("")).toContain(good.id);
  const places = {
    answers: answers.join(""),
    logs: logs.join(""),
    redis: await system.redis.everWritten(),
    files: await filesOf(system.dataDir),
  };
  const half = Buffer.from(MARKER).toString("base64").slice(0, 12);
  for (const [place, text] of Object.entries(places))
    for (const form of [MARKER, half]) expect(text.includes(form), place).toBe(false);
}, 60_000);
