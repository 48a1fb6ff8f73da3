import type { InputDeclaration } from "@comfyq/comfyui/wire";

/** Largest width and height a node takes, in pixels (nodes.py MAX_RESOLUTION). Pictures larger than 4096 are drawn as 4096. */
export const MAX_RESOLUTION = 16384;

interface Range {
  readonly min?: number;
  readonly max?: number;
  readonly step?: number;
}

/** Declares a whole number. */
export const int = (initial: number, range: Range = {}): InputDeclaration => ["INT", { default: initial, ...range }];

/** Declares a number. */
export const float = (initial: number, range: Range = {}): InputDeclaration => [
  "FLOAT",
  { default: initial, ...range },
];

/** Declares a text. */
export const string = (initial = "", config: Readonly<Record<string, unknown>> = {}): InputDeclaration => [
  "STRING",
  { default: initial, ...config },
];

/** Declares a switch. */
export const boolean = (initial: boolean): InputDeclaration => ["BOOLEAN", { default: initial }];

/** Declares a choice, in the old style: `[[options], config]`. */
export const combo = (options: readonly string[], config?: Readonly<Record<string, unknown>>): InputDeclaration =>
  config ? [options, config] : [options];

/** Declares a choice, in the new style: `["COMBO", { options }]`. */
export const newCombo = (options: readonly string[], initial?: string): InputDeclaration => [
  "COMBO",
  { multiselect: false, options, ...(initial === undefined ? {} : { default: initial }) },
];

/** Declares an input that only another node can give. */
export const link = (type: string, config?: Readonly<Record<string, unknown>>): InputDeclaration =>
  config ? [type, config] : [type];

/** Declares a side in pixels. */
export const side = (initial: number, step = 8): InputDeclaration =>
  int(initial, { min: step === 1 ? 1 : 16, max: MAX_RESOLUTION, step });

/** The seed of a sampler. ComfyUI's greatest is 2^64 - 1, which JavaScript reads as 2^64. */
export const SEED: InputDeclaration = ["INT", { default: 0, min: 0, max: 2 ** 64, control_after_generate: true }];
