import type { ActiveFault } from "./faults.ts";

/** Thrown inside the server when a fault says that the connection ends here. */
export class ConnectionCut extends Error {
  override readonly name = "ConnectionCut";
}

/**
 * Passes a body on, up to where a `stall` or `cut` fault stops it.
 * @param closed aborts when the client has gone: nobody waits for a stalled body then
 * @throws ConnectionCut
 */
export async function* obstruct(
  chunks: AsyncIterable<Buffer>,
  struck: ActiveFault | undefined,
  closed: AbortSignal,
): AsyncGenerator<Buffer> {
  let left = limitOf(struck);
  for await (const chunk of chunks) {
    if (chunk.length <= left) {
      left -= chunk.length;
      yield chunk;
      continue;
    }
    yield chunk.subarray(0, left);
    if (struck?.fault.kind === "cut") throw new ConnectionCut("the connection was cut by a fault");
    if (struck) await untilAborted(AbortSignal.any([struck.gone, closed]));
    yield chunk.subarray(left);
    left = Number.POSITIVE_INFINITY;
  }
}

function limitOf(struck: ActiveFault | undefined): number {
  const fault = struck?.fault;
  return fault?.kind === "stall" || fault?.kind === "cut" ? fault.afterBytes : Number.POSITIVE_INFINITY;
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
