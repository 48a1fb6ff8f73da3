import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer, type Server } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { askOnce } from "../src/askOnce.ts";
import { createSafeFetch, type SafeFetchOptions } from "../src/index.ts";
import { LOCAL_LITERALS } from "./localAddresses.ts";

async function listen(server: Server): Promise<number> {
  onTestFinished(() => void server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}

/** A server nobody may reach: it counts who does. Its port is open, so that only the address can be what is refused. */
async function setup(options: Partial<SafeFetchOptions> = {}) {
  const canary = { connections: 0, port: 0 };
  const server = createServer((socket) => {
    canary.connections += 1;
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ncaught");
  });
  canary.port = await listen(server);
  const resolved: string[] = [];
  const safeFetch = createSafeFetch({
    allowHosts: [],
    timeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    maxBytes: 1_000,
    ports: [80, 443, canary.port],
    ...options,
    resolve: async (host) => {
      resolved.push(host);
      return (await options.resolve?.(host)) ?? ["127.0.0.1"];
    },
  });
  return { canary, safeFetch, resolved };
}

const refused = { name: "SafeFetchError", code: "address_refused" };

test("the canary can be reached when it is opened, so that silence below means refusal", async () => {
  const { canary } = await setup();
  const { safeFetch } = await setup({ allowHosts: [`127.0.0.1:${canary.port}`] });
  const { body } = await safeFetch(`http://127.0.0.1:${canary.port}/`);
  expect(await body.toArray()).toEqual([Buffer.from("caught")]);
  expect(canary.connections).toBe(1);
});

test("no spelling of a local address makes a connection", async () => {
  const { canary, safeFetch, resolved } = await setup();
  for (const literal of LOCAL_LITERALS) {
    await expect(safeFetch(`http://${literal}:${canary.port}/`), literal).rejects.toMatchObject(refused);
  }
  expect(canary.connections).toBe(0);
  expect(resolved).toEqual([]);
});

test("no trick with the shape of the URL makes a connection", async () => {
  const { canary, safeFetch } = await setup();
  const at = `127.0.0.1:${canary.port}`;
  const urls = [
    `http:${at}`,
    `http:///${at}`,
    `http:\\\\${at}`,
    `ht\ntp://${at}`,
    `http://${at}#@example.com`,
    `http://${at}\\@example.com`,
  ];
  for (const url of urls) await expect(safeFetch(url), url).rejects.toMatchObject(refused);
  const unreadable = [
    `http://example.com@${at}`,
    `http://[::1%25lo]:${canary.port}`,
    `http://127.0.0.1%00.example.com`,
    "http://4294967296",
    "http://256.256.256.256",
    "",
    "//x",
    "x",
  ];
  for (const url of unreadable) await expect(safeFetch(url), url).rejects.toMatchObject({ code: "bad_url" });
  for (const url of [
    `file://${at}/etc/passwd`,
    `gopher://${at}/`,
    `ftp://${at}/`,
    `data:,x`,
    `dict://${at}/`,
    `jar:http://${at}!/`,
    `s3://${at}/x`,
  ]) {
    await expect(safeFetch(url), url).rejects.toMatchObject({ code: "bad_url" });
  }
  expect(canary.connections).toBe(0);
});

test.each([
  "localhost",
  "LOCALHOST.",
  "localhost%2e",
  "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
  "foo.localhost",
  "127.0.0.1.nip.io",
  "localtest.me",
  "redis.default.svc.cluster.local",
  "metadata.google.internal",
])("the name %s, which resolves to a local address, makes no connection", async (name) => {
  const { canary, safeFetch, resolved } = await setup();
  await expect(safeFetch(`http://${name}:${canary.port}/`)).rejects.toMatchObject(refused);
  expect(resolved).toHaveLength(1);
  expect(canary.connections).toBe(0);
});

test("the refusal names the host and the setting that would open it, but neither query nor resolved address", async () => {
  const { canary, safeFetch } = await setup();
  const failed = safeFetch(`http://inputs.example:${canary.port}/x?signature=SECRET`);
  await expect(failed).rejects.toThrow(`add inputs.example:${canary.port} to COMFYQ_ALLOW_HOSTS`);
  await expect(failed).rejects.not.toThrow(/SECRET|127\.0\.0\.1/);
});

describe("DNS", () => {
  test.each([
    ["public and local", ["93.184.215.14", "127.0.0.1"]],
    ["local and public", ["127.0.0.1", "93.184.215.14"]],
    ["IPv4 public and IPv6 local", ["93.184.215.14", "::1"]],
    ["something that is no address", ["cname.example"]],
  ])("an answer with %s addresses is refused whole", async (_, answer) => {
    const { canary, safeFetch } = await setup({ resolve: async () => answer });
    await expect(safeFetch(`http://mixed.example:${canary.port}/`)).rejects.toMatchObject(refused);
    expect(canary.connections).toBe(0);
  });

  test("is asked once for a connection, so that a second answer cannot differ from the checked one", async () => {
    const { canary } = await setup();
    const answers = [["127.0.0.1"], ["10.0.0.1"]];
    const { safeFetch, resolved } = await setup({
      allowHosts: [`127.0.0.1:${canary.port}`], // stands for a public address, of which there is none here
      resolve: async () => answers.shift() ?? [],
    });
    const { body } = await safeFetch(`http://rebinding.example:${canary.port}/`);
    expect(await body.toArray()).toEqual([Buffer.from("caught")]);
    expect(resolved).toHaveLength(1);
    await expect(safeFetch(`http://rebinding.example:${canary.port}/`)).rejects.toMatchObject(refused);
    expect(canary.connections).toBe(1);
  });

  test("without an answer is unreachable, and so is a name that nobody knows", async () => {
    const none = await setup({ resolve: async () => [] });
    await expect(none.safeFetch("http://empty.example/")).rejects.toMatchObject({ code: "unreachable" });
    const unknown = Object.assign(new Error("getaddrinfo ENOTFOUND"), { code: "ENOTFOUND" });
    const { safeFetch } = await setup({ resolve: () => Promise.reject(unknown) });
    await expect(safeFetch("http://gone.example/")).rejects.toMatchObject({ code: "unreachable", cause: unknown });
  });
});

test("a socket that is connected elsewhere than was checked is closed before a byte is sent", async () => {
  let received = "";
  const port = await listen(
    createServer((socket) => socket.on("data", (bytes) => (received += bytes)).on("error", () => undefined)),
  );
  const judged: string[] = [];
  const rules = {
    refuseUrl: () => undefined,
    refuseAddress: (address: string) => {
      judged.push(address);
      return judged.length > 1 ? ({ code: "address_refused", why: "is elsewhere" } as const) : undefined;
    },
  };
  const url = new URL(`http://moved.example:${port}/`);
  const options = {
    rules,
    resolve: async () => ["127.0.0.1"],
    idleTimeoutMs: 10_000,
    signal: new AbortController().signal,
  };
  await expect(askOnce({ url, method: "GET", headers: {} }, options)).rejects.toMatchObject(refused);
  expect(judged).toEqual(["127.0.0.1", "127.0.0.1"]);
  expect(received).toBe("");
});

describe("a redirect", () => {
  const redirecting = async (answer: RequestListener, options: Partial<SafeFetchOptions> = {}) => {
    const port = await listen(createHttpServer(answer));
    const world = await setup({ ...options, allowHosts: [`127.0.0.1:${port}`] });
    return { ...world, url: `http://127.0.0.1:${port}/start` };
  };

  test.each([301, 302, 303, 307, 308])("with %i to a local address makes no connection there", async (status) => {
    let location = "";
    const { canary, safeFetch, url } = await redirecting((_, response) =>
      response.writeHead(status, { location }).end(),
    );
    for (const to of [
      `http://127.0.0.1:${canary.port}/`,
      `//127.1:${canary.port}/`,
      `http://inside.example:${canary.port}/`,
    ]) {
      location = to;
      await expect(safeFetch(url), to).rejects.toMatchObject(refused);
    }
    expect(canary.connections).toBe(0);
  });

  test.each(["file:///etc/passwd", "gopher://x/", "data:,x", "http://user:pass@example.com/", "http://%"])(
    "to %s is refused",
    async (location) => {
      const { safeFetch, url } = await redirecting((_, response) => response.writeHead(302, { location }).end());
      await expect(safeFetch(url)).rejects.toMatchObject({ code: "redirect_refused" });
    },
  );

  test("that is only a Refresh header or has no Location is an answer like any other", async () => {
    const { canary, safeFetch, url } = await redirecting((request, response) => {
      const refresh = `0;url=http://127.0.0.1:${canary.port}/`;
      response.writeHead(request.url === "/start" ? 302 : 200, { refresh }).end("here");
    });
    expect(await safeFetch(url)).toMatchObject({ status: 302 });
    expect(await safeFetch(url.replace("start", "x"))).toMatchObject({ status: 200 });
    expect(canary.connections).toBe(0);
  });
});

test("proxy settings of the environment are not used", async () => {
  const { canary } = await setup();
  const port = await listen(createHttpServer((_, response) => response.end("direct")));
  for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY"]) vi.stubEnv(name, `http://127.0.0.1:${canary.port}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { safeFetch } = await setup({ allowHosts: [`127.0.0.1:${port}`] });
  const { body } = await safeFetch(`http://127.0.0.1:${port}/`);
  expect(await body.toArray()).toEqual([Buffer.from("direct")]);
  expect(canary.connections).toBe(0);
});
