import { resolve } from "node:path";
import type { RunningSystem } from "./startSystem.ts";

/** What the start screen tells, as facts. */
export interface StartFacts extends RunningSystem {
  readonly folder: string;
  readonly logFolder: string;
  /** Where files go, in words. */
  readonly files: string;
  readonly startedInMs: number;
  /** Must callers show an API key? */
  readonly needsKey: boolean;
  /** Where the API looks for keys. */
  readonly keysFile: string;
  /** Things a human should look at. */
  readonly warnings: readonly string[];
}

/** A picture in one line: no model is needed, so it works on every ComfyUI. */
const WORKFLOW = {
  "1": { class_type: "EmptyImage", inputs: { width: 256, height: 256, batch_size: 1, color: 3368601 } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "hello" } },
};

/** The command that submits a job and waits for its end; to be pasted into any shell. */
export function curlLine(apiUrl: string, needsKey: boolean): string {
  const key = needsKey ? ' -H "Authorization: Bearer $COMFYQ_API_KEY"' : "";
  const headers = `-H 'Content-Type: application/json' -H 'Prefer: wait=30'${key}`;
  return `curl -s ${apiUrl}/v1/jobs ${headers} -d '${JSON.stringify({ workflow: WORKFLOW })}'`;
}

/** The same with our own hands, from the clone's root. */
export function runLine(apiUrl: string): string {
  const env = apiUrl === "http://127.0.0.1:8190" ? "" : `COMFYQ_URL=${apiUrl} `;
  return `${env}npm run -s comfyq -- run infra/examples/text-to-image.json -p 6.inputs.text="a fox" --watch --out ./results`;
}

/** The command that makes a key where this API looks for it. */
export function keysLine(keysFile: string): string {
  const env = keysFile === resolve("data/keys.json") ? "" : `COMFYQ_KEYS_FILE='${keysFile}' `;
  return `${env}npm run -s comfyq -- keys create --name me`;
}

/** The screen that `comfyq up` prints when everything is up. */
export function startScreen(facts: StartFacts): string {
  const { apiUrl, comfyUiUrls, needsKey } = facts;
  const simulators = comfyUiUrls.length === 1 ? "the bundled simulator" : `${comfyUiUrls.length} bundled simulators`;
  const comfyUi = facts.areSimulators
    ? `${simulators} (for real ones: COMFYUI_URLS=http://127.0.0.1:8188 npm start)`
    : comfyUiUrls.join(", ");
  const rows: readonly (readonly [string, string])[] = [
    ["API", apiUrl],
    ["Reference", `${apiUrl}/docs`],
    ["Bull Board", `${apiUrl}/admin/queues`],
    ["ComfyUI", comfyUi],
    ["Redis", facts.redis],
    ["Files", facts.files],
    ["Data", facts.folder],
    ["Logs", facts.logFolder],
  ];
  const keyNote = needsKey ? ["", `Callers need an API key:  ${keysLine(facts.keysFile)}`] : [];
  return [
    "",
    `comfyq is up after ${(facts.startedInMs / 1_000).toFixed(1)} s. Ctrl-C stops all of it.`,
    "",
    ...rows.map(([name, value]) => `  ${name.padEnd(11)} ${value}`),
    ...facts.warnings.map((warning) => `  ! ${warning}`),
    ...keyNote,
    "",
    "Try it:",
    "",
    curlLine(apiUrl, needsKey),
    "",
    "or, in another terminal, with a progress bar and the files in ./results:",
    "",
    runLine(apiUrl),
    "",
  ].join("\n");
}
