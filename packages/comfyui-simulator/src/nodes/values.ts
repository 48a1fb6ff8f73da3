import { isObject, PythonError, pythonRepr } from "@comfyq/comfyui/wire";
import type { Sound } from "../media/encodeFlac.ts";
import type { Film } from "../media/encodeMp4.ts";
import type { Picture } from "../pictures/Picture.ts";

/*
 * What travels along links. Every value says what it is, because a graph can connect anything to `*`.
 */

export interface Images {
  readonly kind: "images";
  readonly pictures: readonly [Picture, ...Picture[]];
  /** How an error message shows them; a tensor unless told. */
  readonly described?: string;
}
export interface Masks {
  readonly kind: "masks";
  readonly pictures: readonly [Picture, ...Picture[]];
}
export interface Latent {
  readonly kind: "latent";
  readonly width: number;
  readonly height: number;
  /** Pictures: how many. Videos: how many frames. */
  readonly length: number;
  /** What was sampled into it. */
  readonly text: string;
  readonly seed: number;
  readonly caption: string;
}
interface Conditioning {
  readonly kind: "conditioning";
  readonly text: string;
}
export interface Model {
  readonly kind: "model";
  readonly name: string;
}
interface Video extends Film {
  readonly kind: "video";
}
interface Audio extends Sound {
  readonly kind: "audio";
}
interface Mesh {
  readonly kind: "mesh";
  readonly title: string;
}
export type Value = Images | Masks | Latent | Conditioning | Model | Video | Audio | Mesh;

/** @throws PythonError `AttributeError` when the input is something else: a graph connected it to `*` */
export function take<Kind extends Value["kind"]>(value: unknown, kind: Kind): Extract<Value, { kind: Kind }> {
  if (isObject(value) && value["kind"] === kind) {
    // The kind is what tells these values apart, and nothing else makes values with a kind.
    return value as unknown as Extract<Value, { kind: Kind }>;
  }
  throw new PythonError("AttributeError", `expected ${kind}, got ${typeof value}`);
}

/** Like {@link take}, undefined when there is none. */
export function takeIfAny<Kind extends Value["kind"]>(
  value: unknown,
  kind: Kind,
): Extract<Value, { kind: Kind }> | undefined {
  return value === undefined || value === null ? undefined : take(value, kind);
}

/** A number input; validation has made it one. */
export const numberOf = (value: unknown): number => Number(value);

/** A text input; validation has made it one. */
export const textOf = (value: unknown): string => String(value);

/** A text, or the fallback when an optional input is missing. */
const textOr = (value: unknown, fallback: string): string => (typeof value === "string" ? value : fallback);

export const images = (pictures: readonly Picture[], described?: string): Images => {
  const [first, ...rest] = pictures;
  if (!first) throw new PythonError("ValueError", "an empty batch of images");
  return { kind: "images", pictures: [first, ...rest], ...(described === undefined ? {} : { described }) };
};

/** A value as an error message shows it: plain values themselves, everything else as Python's `str()` would. */
export function describeValue(value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === "number" || typeof value === "string" || typeof value === "boolean") return value;
  if (Array.isArray(value)) return pythonRepr(value);
  if (!isObject(value)) return `<${typeof value} object>`;
  if (typeof value["described"] === "string") return value["described"];
  if (value["kind"] === "images" || value["kind"] === "masks") return "tensor([[[[0., 0., 0.]]]])";
  return `<${textOr(value["kind"], "object")} object at 0x7F0000000000>`;
}
