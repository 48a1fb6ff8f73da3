import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { unixMs } from "./rig.ts";

interface LineAnswer {
  readonly status: number;
  readonly body: string;
  /** When its first byte came, in Unix ms. */
  readonly cameAtMs: number;
}

/**
 * One keep-alive connection, one request at a time. On a small machine a full HTTP client would take from the server what it
 * is measured by: this one only reads what the API writes, an answer with a Content-Length.
 */
export interface HttpLine {
  post(path: string, headers: string, body: string): Promise<LineAnswer>;
  close(): void;
}

export async function openLine(url: string): Promise<HttpLine> {
  const { hostname, port, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, "connect");
  const answers = listen(socket);
  return {
    post: (path, headers, body) => {
      const head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n${headers}`;
      socket.write(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      return answers.next();
    },
    close: () => socket.destroy(),
  };
}

function listen(socket: Socket) {
  let waiting: PromiseWithResolvers<LineAnswer> | undefined;
  let received = "";
  let cameAtMs = 0;
  socket.setEncoding("latin1");
  socket.on("data", (text: string) => {
    if (received === "") cameAtMs = unixMs();
    received += text;
    const answer = parse(received);
    if (!answer) return;
    received = "";
    waiting?.resolve({ ...answer, cameAtMs });
  });
  socket.on("close", () => waiting?.reject(new Error("the API closed the connection")));
  return {
    next: () => {
      waiting = Promise.withResolvers();
      return waiting.promise;
    },
  };
}

/** @returns undefined while a part is missing */
function parse(text: string): { readonly status: number; readonly body: string } | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, end + 2))?.[1];
  const body = text.slice(end + 4);
  if (length === undefined || body.length < Number(length)) return undefined;
  return { status: Number(text.slice(9, 12)), body };
}

/** Posts a job that must be taken. @returns its id, and when the answer came */
export async function submitBy(line: HttpLine, body: unknown, headers = ""): Promise<{ id: string; atMs: number }> {
  const answer = await line.post("/v1/jobs", headers, JSON.stringify(body));
  if (answer.status !== 201) throw new Error(`submit answered ${answer.status}: ${answer.body}`);
  return { id: JSON.parse(answer.body).id, atMs: answer.cameAtMs };
}
