import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type Server } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { createServer as createTlsServer } from "node:tls";
import { inspect } from "node:util";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { sleep } from "../src/clock.ts";
import { createSafeFetch, type SafeFetchOptions, type SafeFetchResponse } from "../src/index.ts";
import { limitBody } from "../src/limitedBody.ts";

async function listen(server: Server): Promise<number> {
  onTestFinished(() => void server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}

/** A server that answers as told, opened by the name `files.example`. */
async function setup(answer: RequestListener, options: Partial<SafeFetchOptions> = {}) {
  const server = createServer(answer);
  const port = await listen(server);
  onTestFinished(() => server.closeAllConnections());
  const url = `http://files.example:${port}`;
  return { server, url, safeFetch: open(port, options) };
}

function open(port: number, options: Partial<SafeFetchOptions> = {}) {
  return createSafeFetch({
    allowHosts: [`files.example:${port}`],
    resolve: async () => ["127.0.0.1"],
    timeoutMs: 15_000,
    idleTimeoutMs: 15_000,
    maxBytes: 100_000,
    ...options,
  });
}

/** Answers with what it was asked, as JSON. */
const echo = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const { method, url, headers } = request;
  response.end(JSON.stringify({ method, url, headers, body: await text(request) }));
};

test("an answer comes with status, headers, last URL, size and body, whatever its status", async () => {
  const { safeFetch, url } = await setup((_, response) => {
    response.writeHead(404, { "content-length": 4, "set-cookie": ["a=1", "b=2"], "X-Name": "v" }).end("none");
  });
  const { body, ...answer } = await safeFetch(`${url}/x?y=1`);
  expect(answer).toMatchObject({ status: 404, url: `${url}/x?y=1`, sizeBytes: 4 });
  expect(answer.headers).toMatchObject({ "set-cookie": "a=1, b=2", "x-name": "v" });
  expect(await text(body)).toBe("none");
});

test("the request goes out with its method, headers and body, and with the host and length that are true", async () => {
  const { safeFetch, url } = await setup(echo, { userAgent: "comfyq/1" });
  const headers = {
    Host: "evil.example",
    "Content-Length": "9999",
    Authorization: "Bearer x",
    "Content-Type": "application/json",
  };
  const { body } = await safeFetch(`${url}/hook?a=1`, { method: "post", headers, body: '{"a":1}' });
  expect(JSON.parse(await text(body))).toMatchObject({
    method: "POST",
    url: "/hook?a=1",
    body: '{"a":1}',
    headers: {
      host: new URL(url).host,
      "content-length": "7",
      authorization: "Bearer x",
      "user-agent": "comfyq/1",
      connection: "close",
    },
  });
});

test("a body that nobody compressed stays as it was sent", async () => {
  const { safeFetch, url } = await setup(echo);
  const { body } = await safeFetch(url, { method: "PUT", body: Readable.from([Buffer.from("ab"), Buffer.from("cd")]) });
  expect(JSON.parse(await text(body))).toMatchObject({ body: "abcd", headers: { "accept-encoding": "identity" } });
});

describe("the size", () => {
  test("that is declared too large is refused before the body", async () => {
    const { safeFetch, url } = await setup((_, response) =>
      response.writeHead(200, { "content-length": 100_001 }).write("x"),
    );
    await expect(safeFetch(url)).rejects.toMatchObject({ code: "too_large", status: 200 });
    await expect(safeFetch(url, { maxBytes: 1 })).rejects.toThrow("100001 bytes, more than the 1 that");
  });

  test("that grows too large ends the body and the connection", async () => {
    const { server, safeFetch, url } = await setup((_, response) => {
      const pour = (): void =>
        void (response.destroyed || response.write(Buffer.alloc(30_000), () => setImmediate(pour)));
      pour();
    });
    const { body, sizeBytes } = await safeFetch(url);
    expect(sizeBytes).toBeUndefined();
    await expect(text(body)).rejects.toMatchObject({ code: "too_large" });
    await vi.waitFor(() => expect(connections(server)).resolves.toBe(0));
  });

  test("of exactly the limit is fine", async () => {
    const { safeFetch, url } = await setup((_, response) => response.end(Buffer.alloc(1_000)));
    expect(await text((await safeFetch(url, { maxBytes: 1_000 })).body)).toHaveLength(1_000);
  });

  test("that was declared must arrive", async () => {
    const { safeFetch, url } = await setup((_, response) => {
      response.writeHead(200, { "content-length": 1_000 }).write(Buffer.alloc(400), () => response.destroy());
    });
    const { body } = await safeFetch(url);
    await expect(text(body)).rejects.toMatchObject({
      code: "length_mismatch",
      message: expect.stringContaining("sent 400"),
    });
  });

  test("of a HEAD is told and not awaited", async () => {
    const { safeFetch, url } = await setup((_, response) =>
      response.writeHead(200, { "content-length": 999_999 }).end(),
    );
    const { sizeBytes, body } = await safeFetch(url, { method: "HEAD" });
    expect(sizeBytes).toBe(999_999);
    expect(await text(body)).toBe("");
  });

  test("of a stream that breaks without a declared end is no complete body", async () => {
    const { safeFetch, url } = await setup((_, response) => response.write("half", () => response.destroy()));
    await expect(whole(safeFetch(url))).rejects.toMatchObject({ code: "unreachable" });
  });
});

describe("time", () => {
  test("a server that takes the connection and says nothing is idle", async () => {
    const { server, safeFetch, url } = await setup(() => undefined, { idleTimeoutMs: 50 });
    await expect(safeFetch(url)).rejects.toMatchObject({
      code: "idle",
      message: expect.stringContaining("files.example"),
    });
    await vi.waitFor(() => expect(connections(server)).resolves.toBe(0));
  });

  test("a body that stops coming is idle", async () => {
    const { server, safeFetch, url } = await setup((_, response) => response.write("first"), { idleTimeoutMs: 100 });
    await expect(whole(safeFetch(url))).rejects.toMatchObject({ code: "idle" });
    await vi.waitFor(() => expect(connections(server)).resolves.toBe(0));
  });

  test("a reader that pauses is not the server's silence", async () => {
    const { safeFetch, url } = await setup((_, response) => response.end(Buffer.alloc(900_000)), {
      idleTimeoutMs: 500,
      maxBytes: 900_000,
    });
    const { body } = await safeFetch(url);
    const pieces = body[Symbol.asyncIterator]();
    let size = (await pieces.next()).value.length;
    await sleep(800);
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) size += next.value.length;
    expect(size).toBe(900_000);
  });

  test("a body that takes longer than the idle time, but keeps coming, is whole", async () => {
    const { safeFetch, url } = await setup(
      async (_, response) => {
        for (let drop = 0; drop < 14; drop += 1) {
          response.write("x");
          await sleep(100);
        }
        response.end();
      },
      { idleTimeoutMs: 1_000 },
    );
    expect(await text((await safeFetch(url)).body)).toHaveLength(14);
  });

  test("a body that never ends is cut off when the whole took too long", async () => {
    const { safeFetch, url } = await setup((_, response) => {
      const drip = (): void => void (response.destroyed || response.write("x", () => setTimeout(drip, 5)));
      drip();
    });
    await expect(whole(safeFetch(url, { timeoutMs: 100 }))).rejects.toMatchObject({ code: "timed_out" });
  });

  test("an answer that never begins is cut off when the whole took too long", async () => {
    const { safeFetch, url } = await setup(() => undefined, { timeoutMs: 50 });
    await expect(safeFetch(url)).rejects.toMatchObject({
      code: "timed_out",
      message: expect.stringContaining("50 ms"),
    });
  });

  test("a resolver that never answers is cut off too", async () => {
    const safeFetch = open(80, { timeoutMs: 50, resolve: () => new Promise(() => undefined) });
    await expect(safeFetch("http://files.example/")).rejects.toMatchObject({ code: "timed_out" });
  });

  test("the caller's signal ends the fetch, and the body, with its reason as the cause", async () => {
    const { server, safeFetch, url } = await setup(
      (request, response) => void (request.url === "/body" && response.write("x")),
    );
    const stop = new AbortController();
    const [waiting, { body }] = [
      safeFetch(url, { signal: stop.signal }),
      await safeFetch(`${url}/body`, { signal: stop.signal }),
    ];
    const why = new Error("job was canceled");
    stop.abort(why);
    await expect(waiting).rejects.toMatchObject({ code: "aborted", cause: why });
    await expect(text(body)).rejects.toMatchObject({ code: "aborted", cause: why });
    await expect(safeFetch(url, { signal: stop.signal })).rejects.toMatchObject({ code: "aborted" });
    await vi.waitFor(() => expect(connections(server)).resolves.toBe(0));
  });
});

test("a body that is let go ends the connection, and one that nobody reads breaks without harm", async () => {
  const { server, safeFetch, url } = await setup((_, response) => response.write("x"));
  const { body } = await safeFetch(url);
  body.destroy();
  await safeFetch(url, { timeoutMs: 500 });
  await vi.waitFor(() => expect(connections(server)).resolves.toBe(0));
});

test("a body that came whole can be read late, even when it is empty", async () => {
  const { safeFetch, url } = await setup((_, response) => response.end(), { idleTimeoutMs: 500 });
  const { body } = await safeFetch(url);
  await sleep(800);
  expect(await text(body)).toBe("");
});

test("a body that came whole and is never read is let go at the deadline", async () => {
  const { safeFetch, url } = await setup((_, response) => response.end(Buffer.alloc(90_000)));
  const closed = safeFetch(url, { timeoutMs: 300 }).then(({ body }) => once(body, "close"));
  await expect(closed).rejects.toMatchObject({ code: "timed_out" });
});

test("every connection serves one request", async () => {
  const { server, safeFetch, url } = await setup((_, response) => response.end("x"));
  let made = 0;
  server.on("connection", () => {
    made += 1;
  });
  for (let turn = 0; turn < 3; turn += 1) await text((await safeFetch(url)).body);
  expect(made).toBe(3);
});

test("a library that would not notice a missing end is no way around the declared length", async () => {
  const { signal } = new AbortController();
  const limits = {
    signal,
    host: "files.example",
    maxBytes: 9,
    idleTimeoutMs: 15_000,
    toError: () => expect.fail("no error"),
  };
  const short = limitBody(Readable.from([Buffer.from("four")]), { ...limits, declaredBytes: 5 });
  await expect(text(short)).rejects.toMatchObject({ code: "length_mismatch" });
  expect(await text(limitBody(Readable.from([Buffer.from("four")]), { ...limits, declaredBytes: 4 }))).toBe("four");
});

describe("redirects", () => {
  const hops = (request: IncomingMessage, response: ServerResponse): void => {
    const [, status = "", left = ""] = /^\/(\d+)\/(\d+)$/.exec(request.url ?? "") ?? [];
    if (!left || left === "0") return void echo(request, response);
    response.writeHead(Number(status), { location: `/${status}/${Number(left) - 1}` }).end("moved");
  };

  test("are followed up to their number, and no further", async () => {
    const { safeFetch, url } = await setup(hops);
    expect(await safeFetch(`${url}/302/3`)).toMatchObject({ status: 200, url: `${url}/302/0` });
    await expect(safeFetch(`${url}/302/4`)).rejects.toMatchObject({ code: "too_many_redirects", status: 302 });
    expect(await safeFetch(`${url}/302/5`, { redirects: 5 })).toMatchObject({ status: 200 });
    await expect(safeFetch(`${url}/302/1`, { redirects: 0 })).rejects.toMatchObject({
      code: "redirect_refused",
      status: 302,
    });
  });

  test.each([
    [301, "POST", "GET", ""],
    [302, "POST", "GET", ""],
    [303, "PUT", "GET", ""],
    [307, "POST", "POST", "hello"],
    [308, "PUT", "PUT", "hello"],
  ])("%i turns %s into %s", async (status, method, followedMethod, body) => {
    const { safeFetch, url } = await setup(hops);
    const answer = await safeFetch(`${url}/${status}/1`, {
      method,
      body: "hello",
      headers: { "content-type": "text/plain" },
    });
    const seen = JSON.parse(await text(answer.body));
    expect(seen).toMatchObject({ method: followedMethod, body });
    expect(seen.headers["content-type"]).toBe(body ? "text/plain" : undefined);
  });

  test("cannot take along a body that was a stream", async () => {
    const { safeFetch, url } = await setup(hops);
    const sent = safeFetch(`${url}/307/1`, { method: "POST", body: Readable.from(["x"]) });
    await expect(sent).rejects.toMatchObject({ code: "redirect_refused", message: expect.stringContaining("stream") });
  });

  test("keep credentials on the same origin and drop them on another", async () => {
    const other = await setup(echo);
    const { url } = await setup((request, response) => {
      if (request.url === "/away") response.writeHead(302, { location: other.url }).end();
      else if (request.url === "/here") response.writeHead(302, { location: "/x" }).end();
      else void echo(request, response);
    });
    const safeFetch = createSafeFetch({
      allowHosts: ["files.example:*"],
      resolve: async () => ["127.0.0.1"],
      timeoutMs: 15_000,
      idleTimeoutMs: 15_000,
      maxBytes: 10_000,
    });
    const headers = { Authorization: "Bearer x", Cookie: "a=1", "X-Api-Key": "k", "X-Custom": "c", Range: "bytes=0-9" };
    const seen = async (path: string) =>
      JSON.parse(await text((await safeFetch(url + path, { headers })).body)).headers;
    expect(await seen("/here")).toMatchObject({ authorization: "Bearer x", cookie: "a=1", "x-api-key": "k" });
    const away = await seen("/away");
    expect(away).toMatchObject({ range: "bytes=0-9", "user-agent": "comfyq" });
    for (const name of ["authorization", "cookie", "x-api-key", "x-custom"]) expect(away).not.toHaveProperty(name);
  });
});

describe("what is unreachable", () => {
  test("is said with the host and the system's code", async () => {
    const server = createServer();
    const port = await listen(server);
    server.close();
    const failed = open(port)(`http://files.example:${port}/?token=SECRET`);
    await expect(failed).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringContaining("ECONNREFUSED"),
    });
    await expect(failed).rejects.not.toThrow(/SECRET/);
  });

  test("shows nothing of another protocol's banner", async () => {
    const port = await listen(
      createTcpServer((socket) => socket.on("error", () => undefined).end("SSH-2.0-OpenSSH_9.2p1 banner\r\n")),
    );
    const error: unknown = await open(port)(`http://files.example:${port}/`).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "unreachable" });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/OpenSSH|banner/);
  });

  test("includes a server without a certificate that its name stands in", async () => {
    let asked = "";
    const server = createTlsServer({
      SNICallback: (name, callback) => {
        asked = name;
        callback(new Error("no certificate for this name"));
      },
    });
    server.on("tlsClientError", () => undefined);
    const port = await listen(server);
    await expect(open(port)(`https://files.example:${port}/`)).rejects.toMatchObject({ code: "unreachable" });
    expect(asked).toBe("files.example");
  });
});

test("an unreadable entry in the list of open hosts is an error at once", () => {
  expect(() => open(80, { allowHosts: ["http://minio"] })).toThrow('COMFYQ_ALLOW_HOSTS holds "http://minio"');
});

/** All of the body, or what ended the fetch before or after it began. */
function whole(fetching: Promise<SafeFetchResponse>): Promise<string> {
  return fetching.then(({ body }) => text(body));
}

function connections(server: Server): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
}
