import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { jobFailure, type Progress } from "@comfyq/contract";
import express from "express";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openEventStream } from "../src/sse/eventStream.ts";
import { allEvents, readEvents, type SentEvent } from "./readEvents.ts";
import { problem, setup, type TestApi } from "./setup.ts";

let api: TestApi;
beforeAll(async () => {
  api = await setup();
});
afterAll(() => api[Symbol.asyncDispose]());

const progressAt = (value: number, message: string | null = null): Progress => ({
  value,
  nodes_done: 0,
  nodes_total: 2,
  current_node: null,
  current_node_class: null,
  step: null,
  steps: null,
  message,
});

const watch = (id: string, headers: Record<string, string> = {}, query = "") =>
  fetch(`${api.url}/v1/jobs/${id}/events${query}`, { headers });

describe("watching a job", () => {
  test("begins with a snapshot, shows what happens, and ends after the terminal status", async () => {
    const { id } = await api.submit({ pool: "watch1" });
    const answer = await watch(id);
    expect(answer.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const events = readEvents(answer);
    const next = async () => (await events.next()).value as SentEvent; // the stream has not ended here
    expect(await next()).toMatchObject({ event: "status", data: { status: "queued" } });
    const held = await api.claim("watch1");
    for (const stage of ["preparing", "rendering"] as const) {
      await held.journal({ stage });
      expect(await next()).toMatchObject({ event: "status", data: { status: "running", stage, attempt: 1 } });
    }
    held.report(progressAt(0.25));
    expect(await next()).toMatchObject({ event: "progress", data: { value: 0.25, attempt: 1 } });
    held.show({ event: "output", data: { node_id: "9", name: "a.png", type: "image", size_bytes: 3 } });
    expect(await next()).toMatchObject({ event: "output", data: { name: "a.png" } });
    held.show({ event: "preview", data: { node_id: "3", content_type: "image/jpeg", data_base64: "AAAA" } });
    expect(await next()).toMatchObject({ event: "preview", id: undefined, data: { data_base64: "AAAA" } });
    await api.succeed(held, { "a.png": "png" });
    expect(await next()).toMatchObject({ event: "status", data: { status: "succeeded" } });
    expect((await events.next()).done).toBe(true);
  });

  test("resumed with the last id, by header or by query, it goes on without loss or repetition", async () => {
    const { id } = await api.submit({ pool: "watch2" });
    const held = await api.claim("watch2");
    await held.journal({ stage: "preparing" });
    await held.journal({ stage: "rendering" });
    await held.journal({ stage: "storing" });
    await api.succeed(held);
    const whole = await allEvents(await watch(id, { "last-event-id": "0-0" }));
    expect(whole.map(({ data }) => data.stage ?? data.status)).toEqual([
      "queued",
      "preparing",
      "rendering",
      "storing",
      "succeeded",
    ]);
    const middle = whole[2]?.id ?? "";
    expect(await allEvents(await watch(id, { "last-event-id": middle }))).toEqual(whole.slice(3));
    expect(await allEvents(await watch(id, {}, `?last_event_id=${middle}`))).toEqual(whole.slice(3));
  });

  test("a client that has seen the end and comes back is told to stop", async () => {
    const { id } = await api.submit({ pool: "watch3" });
    await api.post(`/v1/jobs/${id}/cancel`, "");
    const [end] = (await allEvents(await watch(id))).slice(-1);
    expect(end).toMatchObject({ event: "status", data: { status: "canceled" } });
    const again = await watch(id, { "last-event-id": end?.id ?? "" });
    expect(again.status).toBe(204);
  });

  test("an ended job is one terminal status, with its error", async () => {
    const { id } = await api.submit({ pool: "watch4" });
    const held = await api.claim("watch4");
    await held.end({ kind: "failed", error: jobFailure("node_failed", "node 3 raised") });
    const events = await allEvents(await watch(id));
    expect(events).toMatchObject([{ event: "status", data: { status: "failed", error: { code: "node_failed" } } }]);
  });

  test("an id that is none begins with the snapshot", async () => {
    const { id } = await api.submit({ pool: "watch5" });
    await api.post(`/v1/jobs/${id}/cancel`, "");
    expect(await allEvents(await watch(id, { "last-event-id": "* nonsense" }))).toHaveLength(1);
  });

  test("one stream more than there may be is refused, and a closed one makes room", async () => {
    await using own = await setup({ env: { COMFYQ_MAX_STREAMS: "1" } });
    const { id } = await own.submit();
    const leave = new AbortController();
    const first = await fetch(`${own.url}/v1/jobs/${id}/events`, { signal: leave.signal });
    const refused = await own.call(`/v1/jobs/${id}/events`);
    expect(problem(refused)).toEqual({
      status: 429,
      code: "too_many_streams",
      message: "1 event streams are open, which is the limit; poll the job meanwhile",
    });
    expect(refused.headers.get("retry-after")).toBe("5");
    leave.abort();
    await first.text().catch(() => undefined);
    await own.post(`/v1/jobs/${id}/cancel`, "");
    await expect.poll(async () => (await own.call(`/v1/jobs/${id}/events`)).status).toBe(200);
  });

  test("streams end when the API stops, and it stops although they were open", async () => {
    await using own = await setup();
    const { id } = await own.submit();
    const events = readEvents(await fetch(`${own.url}/v1/jobs/${id}/events`));
    expect((await events.next()).value).toMatchObject({ data: { status: "queued" } });
    await own.restart();
    expect((await events.next()).done).toBe(true);
  });
});

describe("a reader that does not read", () => {
  test("piles nothing up, loses progress only, and gets every status and the newest progress when it reads again", async () => {
    const waiting: number[] = [];
    let told: (() => void) | undefined;
    const isStuck = new Promise<void>((resolve) => {
      told = resolve;
    });
    const answer = async (_req: express.Request, res: express.Response) => {
      const stream = openEventStream(res, new AbortController().signal);
      const status = (id: string, word: "running" | "succeeded") =>
        stream.send({ id, event: "status", data: { status: word, stage: null, attempt: 1, error: null } });
      const message = "x".repeat(20_000);
      for (let at = 1; at <= 2_000; at += 1) {
        const data = { ...progressAt(at / 2_000, message), attempt: 1 };
        await stream.send({ id: `${at}-0`, event: "progress", data });
        waiting.push(res.writableLength);
      }
      told?.();
      await status("2001-0", "running");
      await status("2002-0-end", "succeeded");
      await stream.drained();
      stream.end();
    };
    const server = createServer(express().get("/", answer));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo; // TCP
    const socket = connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.pause();
    await isStuck; // 40 MB were sent to somebody who took none of it
    expect(Math.max(...waiting)).toBeLessThan(1_000_000);
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    server.close();
    const received = [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
    expect(received.length).toBeLessThan(2_002);
    expect(received.slice(-3)).toEqual(["2000-0", "2001-0", "2002-0-end"]);
  });
});
