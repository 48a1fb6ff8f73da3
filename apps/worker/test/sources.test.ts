import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import type { InputSource, JobSecrets } from "@comfyq/contract";
import { type Fault, startFakeS3 } from "@comfyq/fake-s3";
import { createSafeFetch } from "@comfyq/runtime";
import { openStorage } from "@comfyq/storage";
import { describe, expect, onTestFinished, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { createCredentials } from "../src/inputs/credentials.ts";
import { type NamedCredentials, readCredentialsFile } from "../src/inputs/credentialsFile.ts";
import { openSource } from "../src/inputs/openSource.ts";
import { JobError } from "../src/jobError.ts";

/** A host of sources; it remembers what it was asked. */
async function startHost(answer: RequestListener) {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // listening on TCP, so it is one
  return { url: `http://127.0.0.1:${port}`, host: `127.0.0.1:${port}`, seen };
}

interface Stage {
  readonly named?: NamedCredentials;
  readonly secrets?: JobSecrets;
  readonly tenant?: string;
  readonly flags?: readonly string[];
  readonly allowHosts?: readonly string[];
}

/** The bytes of a source as text, or how opening or reading it failed. */
async function read(source: InputSource, stage: Stage = {}): Promise<string> {
  const { named = {}, secrets = {}, tenant = "default", flags = [], allowHosts = ["127.0.0.1:*"] } = stage;
  const config = readConfig([...flags, "--comfyq-max-input-bytes=2000"]);
  const limits = { timeoutMs: 3_000, idleTimeoutMs: 1_000, maxBytes: 2_000 };
  const store = openStorage(join(tmpdir(), "no-such-store-of-comfyq"));
  const tools = {
    config,
    store,
    fetchInput: createSafeFetch({ allowHosts, ...limits }),
    credentials: createCredentials({ named, allowHosts, openBuckets: config.COMFYQ_S3_INPUT_BUCKETS }),
  };
  const signal = new AbortController().signal;
  try {
    const opened = await openSource({ source, label: "x" }, { tenant, signal, secrets: () => secrets }, tools);
    return await text(await opened.open());
  } catch (error) {
    if (!(error instanceof JobError)) throw error;
    return `${error.failure.code}: ${error.failure.message}`;
  }
}

describe("a credential", () => {
  test("of the job's own goes to its source as a bearer token, or with the scheme that it names", async () => {
    const host = await startHost((_, response) => response.end("bytes"));
    const secrets = { mine: "token-1", basic: "Basic dTpw" };
    expect(await read({ url: `${host.url}/a`, credential: "mine" }, { secrets })).toBe("bytes");
    expect(await read({ url: `${host.url}/a`, credential: "basic" }, { secrets })).toBe("bytes");
    expect(await read({ url: `${host.url}/a` }, { secrets })).toBe("bytes");
    expect(host.seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer token-1", "Basic dTpw", undefined]);
  });

  test("of the operator's goes to its hosts and tenants only, in its header, and the job's own goes before it", async () => {
    const host = await startHost((_, response) => response.end("bytes"));
    const other = await startHost((_, response) => response.end("bytes"));
    const named = { hub: { hosts: [host.host], value: "Bearer of-the-house", header: "X-Token", tenants: ["acme"] } };
    expect(await read({ url: `${host.url}/a`, credential: "hub" }, { named, tenant: "acme" })).toBe("bytes");
    expect(host.seen[0]?.headers["x-token"]).toBe("Bearer of-the-house");
    expect(await read({ url: `${other.url}/a`, credential: "hub" }, { named, tenant: "acme" })).toContain(
      `input_unavailable: Input x: ${other.url}/a was not fetched: its credential is not for ${other.host}`,
    );
    const unknown = 'there is no credential "hub"; send it in secrets, or ask the operator for one';
    expect(await read({ url: `${host.url}/a`, credential: "hub" }, { named, tenant: "evil" })).toContain(unknown);
    expect(await read({ url: `${host.url}/a`, credential: "hub" }, {})).toContain(unknown);
    expect(await read({ url: `${host.url}/a`, credential: "constructor" }, { named })).toContain(
      "there is no credential",
    );
    const own = { named, tenant: "acme", secrets: { hub: "mine" } };
    expect(await read({ url: `${host.url}/a`, credential: "hub" }, own)).toBe("bytes");
    expect(host.seen.at(-1)?.headers).toMatchObject({ authorization: "Bearer mine" });
    expect(host.seen.at(-1)?.headers).not.toHaveProperty("x-token");
    expect([host.seen.length, other.seen.length]).toEqual([2, 0]);
  });

  test("does not follow a redirect to another origin, and does to the same one", async () => {
    const target = await startHost((_, response) => response.end("moved"));
    const host = await startHost(({ url }, response) => {
      if (url === "/here") return void response.end("here");
      response.writeHead(302, { location: url === "/there" ? `${target.url}/b` : "/here" }).end();
    });
    const named = { hub: { hosts: [host.host, target.host], value: "Bearer x", header: "X-Token" } };
    for (const stage of [{ named }, { secrets: { hub: "mine" } }]) {
      expect(await read({ url: `${host.url}/there`, credential: "hub" }, stage)).toBe("moved");
      expect(await read({ url: `${host.url}/same`, credential: "hub" }, stage)).toBe("here");
    }
    for (const { headers } of target.seen) {
      expect(headers).not.toHaveProperty("x-token");
      expect(headers).not.toHaveProperty("authorization");
    }
    expect(host.seen.filter(({ headers }) => headers["x-token"] ?? headers.authorization)).toHaveLength(6);
  });

  test("is not sent without TLS, unless the operator opened that host", async () => {
    const host = await startHost((_, response) => response.end("bytes"));
    const named = { hub: { hosts: [host.host], value: "Bearer x", header: "Authorization" } };
    for (const stage of [{ named }, { secrets: { hub: "mine" } }])
      expect(await read({ url: `${host.url}/a`, credential: "hub" }, { ...stage, allowHosts: [] })).toContain(
        "a credential is sent over https only; write https://",
      );
    expect(host.seen).toEqual([]);
  });
});

describe("the operator's file of credentials", () => {
  const readFrom = async (content: string, isWanted = true) => {
    const dir = await mkdtemp(join(tmpdir(), "credentials-"));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const path = join(dir, "sources.json");
    if (content !== "") await writeFile(path, content);
    return readCredentialsFile(path, isWanted).catch((error: Error) => error.message.replaceAll(path, "FILE"));
  };

  test("holds headers and keys by name, and need not be there unless it was named", async () => {
    const file = {
      hub: { hosts: ["huggingface.co"], value: "Bearer hf_x" },
      minio: { buckets: ["b"], accessKeyId: "id", secretAccessKey: "key", endpoint: "http://minio:9000" },
    };
    expect(await readFrom(JSON.stringify(file))).toEqual({
      hub: { ...file.hub, header: "Authorization" },
      minio: file.minio,
    });
    expect(await readFrom("", false)).toEqual({});
    expect(await readFrom("")).toBe("The credentials for sources cannot be read from FILE (COMFYQ_SECRETS_FILE)");
  });

  test("that is wrong is told with the place, and without a word of its values", async () => {
    const wrong = {
      "../x": { hosts: ["a"], value: "MARKER" },
      hub: { hosts: ["https://a/"], value: "MARKER" },
      both: { hosts: ["a"], value: "MARKER", accessKeyId: "MARKER" },
      lines: { hosts: ["a"], value: "MARKER\nX: y" },
    };
    const told = await readFrom(JSON.stringify(wrong));
    for (const part of ["../x", "hub.hosts.0 must be a host", "both", "lines.value must not have control"])
      expect(told).toContain(part);
    expect(told).not.toContain("MARKER");
    expect(await readFrom("{MARKER")).toBe(
      'FILE (COMFYQ_SECRETS_FILE) is no JSON; write { "name": { "hosts": ["…"], "value": "Bearer …" } }',
    );
  });
});

describe("an s3:// source", () => {
  const KEYS = { accessKeyId: "key-id", secretAccessKey: "secret-key" };
  const setupS3 = async () => {
    const s3 = await startFakeS3({ buckets: ["mine", "ours"], ...KEYS });
    onTestFinished(() => s3.close());
    for (const bucket of ["mine", "ours"]) {
      const store = openStorage(`s3://${bucket}`, { endpoint: s3.url, credentials: KEYS });
      await store.put("in/a.png", `of ${bucket}`, { contentType: "image/png" });
      await store.put("in/large", "x".repeat(2_001), { contentType: "text/plain" });
      await store.close();
    }
    const named: NamedCredentials = { keys: { buckets: ["mine"], ...KEYS, endpoint: s3.url } };
    const flags = [`--s3-endpoint=${s3.url}`, "--aws-region=us-east-1"];
    return { s3, named, flags };
  };
  const source = (url: string) => ({ url, credential: "keys" });

  test("is read with the operator's keys for its bucket, or with the job's own", async () => {
    const { named, flags } = await setupS3();
    expect(await read(source("s3://mine/in/a.png"), { named })).toBe("of mine");
    expect(await read(source("s3://ours/in/a.png"), { named })).toContain("its credential is not for the bucket ours");
    const secrets = { keys: JSON.stringify(KEYS) };
    expect(await read(source("s3://ours/in/a.png"), { flags, secrets })).toBe("of ours");
    expect(await read(source("s3://ours/in/a.png"), { flags, secrets: { keys: "no json" } })).toContain(
      'its secret holds no S3 keys; write {"accessKeyId": "…", "secretAccessKey": "…"} as its text',
    );
    const wrong = { keys: JSON.stringify({ ...KEYS, secretAccessKey: "guessed" }) };
    expect(await read(source("s3://ours/in/a.png"), { flags, secrets: wrong })).toBe(
      "input_unavailable: Input x: s3://ours/in/a.png: access was refused; check the credential and its right to read this object",
    );
  });

  test("without a credential is refused before anybody is asked, unless the operator opened its bucket", async () => {
    const { s3, flags } = await setupS3();
    const before = s3.stats();
    expect(await read({ url: "s3://ours/in/a.png" }, { flags })).toBe(
      "input_unavailable: Input x: s3://ours/in/a.png was not fetched: the bucket ours is open to no job; name a credential, or let the operator add it to COMFYQ_S3_INPUT_BUCKETS",
    );
    expect(s3.stats()).toEqual(before);
  });

  test.each<[string, string, Fault | undefined, string]>([
    [
      "an object that is not there",
      "s3://mine/nothing",
      undefined,
      "input_unavailable: Input x: s3://mine/nothing: there is no such object",
    ],
    [
      "a bucket that is not there",
      "s3://gone/a",
      undefined,
      "input_unavailable: Input x: s3://gone/a: there is no such bucket",
    ],
    [
      "an object that is too large",
      "s3://mine/in/large",
      undefined,
      "input_too_large: Input x: s3://mine/in/large has 2001 bytes, more than 2000",
    ],
    [
      "403",
      "s3://mine/in/a.png",
      { kind: "error", code: "AccessDenied" },
      "input_unavailable: Input x: s3://mine/in/a.png: access was refused",
    ],
    [
      "500",
      "s3://mine/in/a.png",
      { kind: "error", code: "InternalError" },
      "input_unreachable: Input x: s3://mine/in/a.png: the store failed",
    ],
    [
      "a stall",
      "s3://mine/in/a.png",
      { kind: "stall", afterBytes: 3 },
      "input_unreachable: Input x: s3://mine/in/a.png did not come within 1 s",
    ],
    ["a cut", "s3://mine/in/a.png", { kind: "cut", afterBytes: 3 }, "input_unreachable: Input x: s3://mine/in/a.png: "],
    [
      "other bytes than announced",
      "s3://mine/in/a.png",
      { kind: "wrong_checksum" },
      "input_unreachable: Input x: s3://mine/in/a.png: what arrived is not",
    ],
  ])("answered with %s fails clearly", async (_what, url, fault, told) => {
    const { s3, named } = await setupS3();
    const keys = { ...named, keys: { ...named["keys"], buckets: ["mine", "gone"] } } as NamedCredentials; // the same, for one bucket more
    if (fault) s3.faults.add(fault);
    expect(await read(source(url), { named: keys, flags: ["--comfyq-input-timeout-s=1"] })).toContain(told);
  });
});

describe("an http source", () => {
  test.each<[string, RequestListener, string]>([
    [
      "404",
      (_, response) => response.writeHead(404).end("<html>not found</html>"),
      "input_unavailable: Input x: HOST/a answered 404; the address must",
    ],
    ["503", (_, response) => response.writeHead(503).end(), "input_unreachable: Input x: HOST/a answered 503"],
    [
      "a redirect to itself",
      (_, response) => response.writeHead(302, { location: "/a" }).end(),
      "input_unavailable: Input x could not be fetched: 127.0.0.1",
    ],
    [
      "a redirect to a file",
      (_, response) => response.writeHead(302, { location: "file:///etc/passwd" }).end(),
      "input_unavailable: Input x could not be fetched:",
    ],
    [
      "gzip",
      (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(1_000_000))),
      "input_unavailable: Input x: HOST/a sends its bytes compressed",
    ],
    [
      "fewer bytes than it declares",
      (_, response) => {
        response.writeHead(200, { "content-length": "10" }).write("abc");
        response.destroy();
      },
      "input_unreachable: Input x could not be fetched: 127.0.0.1",
    ],
    [
      "more bytes than are taken",
      (_, response) => response.end("x".repeat(3_000)),
      "input_too_large: Input x could not be fetched: 127.0.0.1",
    ],
    [
      "silence",
      (_, response) => void response.writeHead(200).write("abc"),
      "input_unreachable: Input x could not be fetched: 127.0.0.1",
    ],
  ])("that answers with %s fails clearly", async (_what, answer, told) => {
    const host = await startHost(answer);
    expect(
      (await read({ url: `${host.url}/a?token=MARKER` })).replaceAll(host.url, "HOST").replace("?token=*", ""),
    ).toContain(told);
    expect(await read({ url: `${host.url}/a?token=MARKER` })).not.toContain("MARKER");
  });

  test("that sends one byte after the other is cut off when the whole has taken too long", async () => {
    const host = await startHost((_, response) => {
      const drip = setInterval(() => response.write("x"), 100);
      response.on("close", () => clearInterval(drip));
    });
    expect(await read({ url: `${host.url}/a` })).toMatch(
      /^input_unreachable: .* has not sent everything within 3000 ms/,
    );
  });
});
