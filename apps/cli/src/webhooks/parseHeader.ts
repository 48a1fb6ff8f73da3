import { CliError } from "../CliError.ts";

/** Reads what was typed as `--header "Name: value"`. @throws CliError `bad_input` */
export function parseHeader(text: string): readonly [name: string, value: string] {
  const at = text.indexOf(":");
  if (at < 1) throw new CliError("bad_input", `--header ${text} is none; write it as --header "Name: value"`);
  return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}
