import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import express, { type RequestHandler, type Response, Router } from "express";
import { type Authenticator, demandScope } from "../auth/authenticate.ts";
import { isCrossOrigin } from "../auth/loopback.ts";
import { readAnyBody } from "../body/readBody.ts";
import { ApiError, toApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import { keyCookie } from "./editorKey.ts";
import { KEY_PAGE } from "./keyPage.ts";

const KEY_PATH = "/editor/key";
const LONGEST_FORM_BYTES = 10_000;

/**
 * ComfyUI's editor at `/`, from the operator's own folder (`COMFYQ_EDITOR_DIR`): its files are sent as they are, and all that it asks
 * for is ComfyUI's own API, which is ours. A browser that must show a key is first asked for one.
 * @throws Error when there is no index.html in the folder
 */
export async function editorPage(rooms: Rooms, door: Authenticator, dir: string): Promise<Router> {
  const { keys, settings } = rooms;
  const folder = resolve(dir);
  const page = await readPage(folder);
  const policy = policyFor(page);
  const router = Router();
  router.get("/", async (req, res) => {
    const mayEnter = !keys.isRequired() || (await isKnown(door, req));
    if (!mayEnter) res.redirect(303, KEY_PATH);
    else res.set({ "Content-Security-Policy": policy, "Cache-Control": "no-cache" }).type("html").send(page);
  });
  router.get(KEY_PATH, (_req, res) => sendKeyPage(res, ""));
  router.post(KEY_PATH, takeKey(door, settings.COMFYQ_PUBLIC_URL));
  router.use(express.static(folder, { index: false, redirect: false, dotfiles: "ignore", setHeaders: refuseToRun }));
  return router;
}

async function readPage(folder: string): Promise<string> {
  try {
    return await readFile(join(folder, "index.html"), "utf8");
  } catch (cause) {
    throw new Error(
      `COMFYQ_EDITOR_DIR=${folder} has no index.html that can be read; it must be the folder of the editor's static files`,
      { cause },
    );
  }
}

/** What the page may load: from us only. Its own inline scripts are named by their hashes. */
function policyFor(page: string): string {
  const inline = [...page.matchAll(/<script(?![^>]*\bsrc=)[^>]*>([\s\S]*?)<\/script>/gi)].map(([, text = ""]) => {
    return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  });
  const directives: Readonly<Record<string, readonly string[]>> = {
    "default-src": ["'none'"],
    "script-src": ["'self'", "'wasm-unsafe-eval'", ...inline],
    "style-src": ["'self'", "'unsafe-inline'"],
    "img-src": ["'self'", "data:", "blob:"],
    "media-src": ["'self'", "data:", "blob:"],
    "font-src": ["'self'", "data:"],
    "connect-src": ["'self'", "data:", "blob:"],
    "worker-src": ["'self'", "blob:"],
    "manifest-src": ["'self'"],
    "base-uri": ["'self'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
  };
  return Object.entries(directives)
    .map(([name, values]) => `${name} ${values.join(" ")}`)
    .join("; ");
}

/** Files of the folder are parts of the page, and no pages of their own. */
function refuseToRun(res: Response): void {
  res.set({ "Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff" });
}

async function isKnown(door: Authenticator, req: Parameters<Authenticator["authenticate"]>[0]): Promise<boolean> {
  try {
    demandScope(await door.authenticate(req), "read");
    return true;
  } catch (error) {
    if (error instanceof ApiError) return false;
    throw error;
  }
}

/** Keeps a key that is right in a cookie; an empty one is forgotten. */
function takeKey(door: Authenticator, publicUrl: string | undefined): RequestHandler {
  return async (req, res) => {
    if (isCrossOrigin(req)) throw new ApiError("forbidden", "A key is only taken from this very page");
    const form = new URLSearchParams((await readAnyBody(req, LONGEST_FORM_BYTES)).toString("utf8"));
    const key = (form.get("key") ?? "").trim();
    if (key === "") return res.set("Set-Cookie", keyCookie("", publicUrl)).redirect(303, KEY_PATH);
    try {
      demandScope(await door.authenticate(req, key), "read");
    } catch (thrown) {
      const error = toApiError(thrown);
      if (error.status >= 500) throw error;
      return sendKeyPage(res.status(error.status), error.message);
    }
    res.set("Set-Cookie", keyCookie(key, publicUrl)).redirect(303, "/");
  };
}

function sendKeyPage(res: Response, said: string): void {
  const escaped = said.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
  // Without a referrer a browser would not say either from which page the form is sent.
  res.set({ "Cache-Control": "no-store", "Referrer-Policy": "same-origin" }).type("html");
  res.send(KEY_PAGE.replace("<!-- said -->", escaped));
}
