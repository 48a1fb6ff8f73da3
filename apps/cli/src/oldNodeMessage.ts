/** undici 8 needs this much. */
const LOWEST_NODE = [22, 19] as const;

/** What to tell somebody whose Node cannot run this; undefined when it can. @param version as `process.version` has it */
export function oldNodeMessage(version: string): string | undefined {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  const [lowestMajor, lowestMinor] = LOWEST_NODE;
  if (major > lowestMajor || (major === lowestMajor && minor >= lowestMinor)) return undefined;
  return (
    `comfyq needs Node ${LOWEST_NODE.join(".")} or newer; this is ${version}.\n` +
    "In a clone `npm run -s comfyq -- …` takes the Node that comfyq brings along; else install a current one."
  );
}
