/** One name below a folder: no hidden files, no traversal, nothing that Windows or a shell takes amiss. */
const SAFE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._ -]{0,126}$/;
const DEVICE_NAME = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;
const DEEPEST = 8;

/** What `isSafePath` asks for, in words. */
export const SAFE_PATH_RULE =
  "its name may have letters, digits, dot, space, _ and -, must not begin with a dot, and may have folders";

/** May a file be written under this name, below a folder? Parts are separated by `/`; nothing leads out of the folder. */
export function isSafePath(path: string): boolean {
  const segments = path.split("/");
  return segments.length <= DEEPEST && segments.every(isSafeSegment);
}

function isSafeSegment(segment: string): boolean {
  return SAFE_NAME.test(segment) && !/[. ]$/.test(segment) && !DEVICE_NAME.test(segment);
}
