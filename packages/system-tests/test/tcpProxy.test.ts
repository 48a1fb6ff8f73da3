import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createConnection, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startTcpProxy } from "./tcpProxy.ts";

/** A web server that counts who asked, and a proxy in front of it. */
async function setup() {
  let asked = 0;
  const server = createServer((_, response) => {
    asked += 1;
    response.end("hello");
  });
  const port = await listening(server);
  const proxy = await startTcpProxy(`http://127.0.0.1:${port}`);
  onTestFinished(async () => {
    await proxy.close();
    server.closeAllConnections();
    server.close();
  });
  const ask = async () => (await fetch(proxy.url)).text();
  return { proxy, ask, asked: () => asked };
}

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port; // a TCP server's address is never a string
}

test("what is sent into a frozen line arrives when it thaws, and not before; nobody is told of it", async () => {
  const { proxy, ask, asked } = await setup();
  await ask(); // a connection that is kept
  proxy.freeze();
  const [old, fresh] = [ask(), fetch(proxy.url, { headers: { connection: "close" } })];
  const early = new Promise((resolve) => setTimeout(resolve, 200, "nothing"));
  expect(await Promise.race([old, fresh, early])).toBe("nothing");
  expect(asked()).toBe(1);
  await proxy.thaw();
  expect(await old).toBe("hello");
  expect(await (await fresh).text()).toBe("hello");
  expect(asked()).toBe(3);
});

test("an answer that was on its way when the line froze is held too", async () => {
  const target = createTcpServer((socket) => socket.on("data", () => setTimeout(() => socket.write("pong"), 100)));
  const path = join(tmpdir(), `comfyq-proxy-${process.pid}.sock`);
  target.listen(path);
  await once(target, "listening");
  await using proxy = await startTcpProxy(path);
  onTestFinished(() => void target.close());
  expect(proxy.url).toMatch(/^redis:\/\/127\.0\.0\.1:\d+$/);
  const client = createConnection(Number(new URL(proxy.url).port), "127.0.0.1");
  onTestFinished(() => void client.destroy());
  let heard = "";
  client.on("data", (chunk) => {
    heard += chunk;
  });
  client.write("ping");
  await new Promise((resolve) => setTimeout(resolve, 50));
  proxy.freeze();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(heard).toBe("");
  await proxy.thaw();
  await expect.poll(() => heard).toBe("pong");
});

test("a cut line resets who is on it, and works at once again; a refused one works again when it thaws", async () => {
  const { proxy, ask } = await setup();
  proxy.freeze();
  const cut = ask();
  await expect.poll(() => proxy.connections()).toBe(1);
  proxy.cut();
  await expect(cut).rejects.toThrow();
  await proxy.thaw();
  expect(await ask()).toBe("hello");
  await proxy.refuse();
  await expect(ask()).rejects.toMatchObject({ cause: { code: "ECONNREFUSED" } });
  await proxy.thaw();
  expect(await ask()).toBe("hello");
});

test("a delayed line makes every round trip longer, and those side by side no longer than one", async () => {
  const { proxy, ask } = await setup();
  await ask();
  proxy.delay(300);
  const startedAtMs = performance.now();
  await Promise.all([ask(), ask(), ask()]);
  const tookMs = performance.now() - startedAtMs;
  expect(tookMs).toBeGreaterThanOrEqual(299);
  proxy.delay(0);
  expect(await ask()).toBe("hello");
});

test("a connection that ends is ended on the other side too", async () => {
  const { proxy } = await setup();
  await (await fetch(proxy.url, { headers: { connection: "close" } })).text();
  await expect.poll(() => proxy.connections()).toBe(0);
});
