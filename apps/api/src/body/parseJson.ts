import { isUtf8 } from "node:buffer";
import { findLimitFault, WORKFLOW_LIMITS } from "@comfyq/contract";
import { ApiError } from "../errors.ts";
import { locateJsonFault } from "./locateJsonFault.ts";
import { type JsonShape, scanJson } from "./scanJson.ts";

/** What a body may hold beyond what one job does. */
export interface JsonAllowance {
  readonly values: number;
  /** Fields at the top whose text may be as long as the body. */
  readonly longTexts: readonly string[];
}

const ONE_JOB: JsonAllowance = { values: WORKFLOW_LIMITS.keys, longTexts: [] };

/**
 * Bytes → JSON value that recursive readers can bear. The order matters: bytes are measured before they are parsed, the
 * value is measured again before anything recursive (zod, JSON.stringify) sees it.
 * @param example a body that would be taken, for who sent none
 * @param allowance left out: what one job may hold
 * @throws ApiError `invalid_json` with the place, or `invalid_request` for a name or text that cannot be taken
 */
export function parseJson(bytes: Buffer, example: string, allowance: JsonAllowance = ONE_JOB): unknown {
  if (bytes.length === 0)
    throw new ApiError("invalid_json", `The body is empty; send a JSON object such as ${example}`);
  // Commas and brackets before parsing; a value is counted at most twice.
  const limit = { depth: WORKFLOW_LIMITS.depth, values: 2 * allowance.values };
  const shape = scanJson(bytes, limit);
  if (shape.depth > limit.depth) throw tooDeep();
  if (shape.values > limit.values) throw tooMany(allowance);
  const value = parseText(decode(bytes));
  if (mayBreakLimits(bytes, shape)) refuseLimitFault(value, allowance);
  if (mayNameProto(bytes)) refuseProto(value);
  return value;
}

/** The bytes themselves rule it out for nearly all bodies, which are then not walked through again. */
function mayBreakLimits(bytes: Buffer, { values }: JsonShape): boolean {
  return bytes.length > WORKFLOW_LIMITS.stringBytes || values > WORKFLOW_LIMITS.keys;
}

/** A name can also be written with escapes. */
function mayNameProto(bytes: Buffer): boolean {
  return bytes.includes("__proto__") || bytes.includes("\\u");
}

const BYTE_ORDER_MARK = 0xef;

function decode(bytes: Buffer): string {
  if (isUtf8(bytes) && bytes[0] !== BYTE_ORDER_MARK) return bytes.toString("utf8");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ApiError("invalid_json", "The body is not UTF-8 text; encode the JSON as UTF-8", { cause });
  }
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const { line, column, expected, found } = locateJsonFault(text);
    const place = `line ${line}, column ${column}`;
    throw new ApiError(
      "invalid_json",
      `The body is not JSON: at ${place} there is ${found}, and there should be ${expected}`,
      { cause },
    );
  }
}

function tooDeep(): ApiError {
  return new ApiError(
    "invalid_json",
    `The body is nested deeper than ${WORKFLOW_LIMITS.depth} levels; no workflow needs that`,
  );
}

function tooMany({ values }: JsonAllowance): ApiError {
  return new ApiError("invalid_json", `The body holds more than ${values} values; split the work into several jobs`);
}

function refuseLimitFault(value: unknown, allowance: JsonAllowance): void {
  const fault = findLimitFault(value, allowance);
  if (fault?.limit === "depth") throw tooDeep();
  if (fault?.limit === "keys") throw tooMany(allowance);
  if (fault) {
    const most = `at most ${WORKFLOW_LIMITS.stringBytes} characters fit here`;
    throw new ApiError("invalid_request", "A text in the body is too long; send it as an input or an asset", {
      details: [{ path: fault.path.join("."), message: most }],
    });
  }
}

/** zod skips a `__proto__` key without a word; a node of that name would vanish, so it is refused. Depth is limited by now. */
function refuseProto(value: unknown, path: readonly string[] = []): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === "__proto__")
      throw new ApiError("invalid_request", 'A field is named "__proto__", which is not taken; rename it', {
        details: [{ path: [...path, key].join("."), message: "this name is not allowed" }],
      });
    refuseProto(inner, [...path, key]);
  }
}
