import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { PythonError } from "@comfyq/comfyui/wire";
import { FILE_TYPES, isInside, splitAnnotation } from "../../files/Folders.ts";
import { encodeJpeg } from "../../pictures/encodeJpeg.ts";
import { encodePng } from "../../pictures/encodePng.ts";
import { encodeWebp } from "../../pictures/encodeWebp.ts";
import { type Picture, rasterAt } from "../../pictures/Picture.ts";
import { readPicture } from "../../pictures/readPicture.ts";
import { channelOf, withoutAlpha } from "../../pictures/transform.ts";
import type { Simulation } from "../../Simulation.ts";
import type { ApiRequest } from "../ApiRequest.ts";
import { contentTypeOf, isActive } from "../contentTypes.ts";
import { bytes, empty, type Reply } from "../Reply.ts";
import type { Route } from "../Router.ts";

/** `GET /view` (server.py view_image; reference/comfyui-protocol.md §1.5). */
export const VIEW_ROUTES: readonly Route[] = [{ method: "GET", path: "/view", handle: view }];

async function view(request: ApiRequest, simulation: Simulation): Promise<Reply> {
  const place = locate(request, simulation);
  if (typeof place === "number") return empty(place);
  const { path, name } = place;
  const preview = request.query.get("preview");
  const channel = request.query.get("channel") ?? "";
  const reply =
    preview !== null
      ? await previewReply(path, name, { preview, channel })
      : channel === "rgb" || channel === "a"
        ? await channelReply(path, name, channel)
        : fileReply(path, name, request);
  if (request.method === "GET") simulation.parts.stats.viewed(sizeOf(reply));
  return reply;
}

const sizeOf = ({ body }: Reply): number => (body instanceof Uint8Array ? body.length : body.end - body.start);

/** The file that is asked for, or the status of the refusal. Only the last part of the name is used. */
function locate({ query }: ApiRequest, { parts }: Simulation): number | { path: string; name: string } {
  const asked = query.get("filename");
  if (asked === null || asked.startsWith("blake3:")) return 404;
  const { bare, type } = splitAnnotation(asked);
  if (bare === "" || bare.startsWith("/") || bare.includes("..")) return 400;
  const wanted = type ?? FILE_TYPES.find((known) => known === (query.get("type") ?? "output"));
  if (!wanted) return 400;
  const root = parts.folders.pathOf(wanted);
  const folder = join(root, query.get("subfolder") ?? "");
  if (!isInside(root, folder)) return 403;
  const name = basename(bare);
  const path = join(folder, name);
  return existsSync(path) && statSync(path).isFile() ? { path, name } : 404;
}

/** @throws PythonError when it is no picture: ComfyUI answers 500 */
async function pictureAt(path: string, name: string): Promise<Picture> {
  const picture = readPicture(await readFile(path), name);
  if (!picture) throw new PythonError("PIL.UnidentifiedImageError", `cannot identify image file ${path}`);
  return picture;
}

async function previewReply(
  path: string,
  name: string,
  wish: { readonly preview: string; readonly channel: string },
): Promise<Reply> {
  const picture = await pictureAt(path, name);
  const [format, ...rest] = wish.preview.split(";");
  const quality = /^\d+$/.test(rest.at(-1) ?? "") ? Number(rest.at(-1)) : 90;
  const disposition = { "Content-Disposition": `filename="${name}"` };
  if (format === "jpeg" && !wish.channel.includes("a")) {
    const dots = rasterAt(withoutAlpha(picture), picture.width, picture.height);
    return bytes(encodeJpeg(dots, quality), { "Content-Type": "image/jpeg", ...disposition });
  }
  return bytes(encodeWebp(picture), { "Content-Type": "image/webp", ...disposition });
}

async function channelReply(path: string, name: string, channel: "rgb" | "a"): Promise<Reply> {
  const picture = await pictureAt(path, name);
  const wanted = channel === "rgb" ? withoutAlpha(picture) : channelOf(picture, 3);
  return bytes(await encodePng(wanted), { "Content-Type": "image/png", "Content-Disposition": `filename="${name}"` });
}

function fileReply(path: string, name: string, request: ApiRequest): Reply {
  const { size, mtime } = statSync(path);
  const headers = headersOf(name, request);
  const modified = new Date(Math.floor(mtime.getTime() / 1000) * 1000);
  const dated = { ...headers, "Last-Modified": modified.toUTCString(), "Accept-Ranges": "bytes" };
  const since = Date.parse(request.headers["if-modified-since"] ?? "");
  if (modified.getTime() <= since) return { ...empty(304), headers: dated };
  const range = rangeOf(request.headers.range, size);
  if (range === "unsatisfiable") return { ...empty(416), headers: { ...dated, "Content-Range": `bytes */${size}` } };
  if (!range) return { status: 200, headers: dated, body: { path, start: 0, end: size } };
  const shown = { ...dated, "Content-Range": `bytes ${range.start}-${range.end - 1}/${size}` };
  return { status: 206, headers: shown, body: { path, ...range } };
}

/** What a browser could run is only offered for download; an SVG that is asked for as image is not run. */
function headersOf(name: string, { headers }: ApiRequest): Record<string, string> {
  const type = contentTypeOf(name);
  const quoted = `filename="${name.replace(/\\/g, "\\\\").replace(/"/g, '\\"')}"`;
  const safe = { "X-Content-Type-Options": "nosniff" };
  if (!isActive(type)) return { ...safe, "Content-Type": type, "Content-Disposition": quoted };
  const careful = { ...safe, Vary: "Sec-Fetch-Dest", "Cache-Control": "no-store" };
  if (type === "image/svg+xml" && headers["sec-fetch-dest"] === "image") {
    return { ...careful, "Content-Type": type, "Content-Disposition": quoted };
  }
  return { ...careful, "Content-Type": "application/octet-stream", "Content-Disposition": `attachment; ${quoted}` };
}

/** One byte range with an exclusive end; undefined when there is none to obey. */
function rangeOf(
  header: string | undefined,
  size: number,
): { start: number; end: number } | "unsatisfiable" | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  const [, from = "", to = ""] = match ?? [];
  if (!match || (from === "" && to === "")) return undefined;
  const start = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? size : Math.min(size, Number(to) + 1);
  return start >= size || start >= end ? "unsatisfiable" : { start, end };
}
