/** As many as make one API busy. */
export const CLIENTS = 64;

/** So many calls by 64 who each wait for their own answer. @returns calls per second */
export async function perSecond(calls: number, call: (client: number) => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now();
  let left = calls;
  const client = async (_: unknown, number: number) => {
    while (left > 0) {
      left -= 1;
      await call(number);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return (calls * 1_000) / (performance.now() - startedAtMs);
}
