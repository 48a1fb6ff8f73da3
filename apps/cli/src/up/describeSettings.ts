import type { EnvEntry } from "@comfyq/runtime";
import { settingGroups } from "./settings.ts";

const NAME_WIDTH = 27;

function fallback(entry: EnvEntry): string {
  return entry.default ? ` (default ${entry.default})` : "";
}

/** Every setting of the system as lines for a terminal, one a line. */
export function settingsHelp(): string {
  const groups = settingGroups().map(({ title, settings }) => {
    const lines = settings.map((entry) => `  ${entry.name.padEnd(NAME_WIDTH)} ${entry.description}${fallback(entry)}`);
    return [`${title}:`, ...lines].join("\n");
  });
  return ["Settings are environment variables: COMFYQ_PORT=9000 npm start", ...groups].join("\n\n");
}

/** Every setting of the system as Markdown tables, as the README has them. */
export function settingsMarkdown(): string {
  const groups = settingGroups().map(({ title, settings }) => {
    const rows = settings.map(
      (entry) => `| \`${entry.name}\` | ${entry.default ? `\`${entry.default}\`` : ""} | ${entry.description} |`,
    );
    return [`**${title}**`, "", "| Setting | Default | What it does |", "| --- | --- | --- |", ...rows].join("\n");
  });
  return groups.join("\n\n");
}
