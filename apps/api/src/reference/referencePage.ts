import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type RequestHandler, Router } from "express";
import type { OpenApiDocument } from "./openApi.ts";

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>comfyq API</title>
</head>
<body>
<div id="reference"></div>
<noscript>This page needs JavaScript; the document itself is at <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/scalar.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`;

// All options but the first keep the page from asking anybody but us for anything (reference/toolchain.md §2).
const START = `Scalar.createApiReference("#reference", {
  url: "openapi.json",
  withDefaultFonts: false,
  telemetry: false,
  showDeveloperTools: "never",
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
});
`;

/** The document at /openapi.json and the page that shows it at /docs; both work without the internet. */
export function referencePage(document: OpenApiDocument): Router {
  const router = Router();
  const scalar = scalarFile();
  const text =
    (type: string, body: string): RequestHandler =>
    (_req, res) =>
      void res.type(type).send(body);
  router.get("/openapi.json", text("application/json", JSON.stringify(document)));
  router.get("/docs", text("text/html", PAGE));
  router.get("/docs/start.js", text("text/javascript", START));
  router.get("/docs/scalar.js", (_req, res) => res.sendFile(scalar, { maxAge: "1d", dotfiles: "allow" }));
  return router;
}

/** The build copies the file into dist/assets; when run from source it comes from the package. */
function scalarFile(): string {
  const built = fileURLToPath(new URL("../assets/scalar.js", import.meta.url));
  if (existsSync(built)) return built;
  return fileURLToPath(new URL("./browser/standalone.js", import.meta.resolve("@scalar/api-reference")));
}
