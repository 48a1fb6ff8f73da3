import { monotonicMs } from "@comfyq/runtime";

/**
 * Remembers the answer of `ask` for a while; those who come meanwhile share it. A failure is not remembered.
 * @returns the asker; `"fresh"` asks again whatever is remembered
 */
export function cachedFor<T>(ms: number, ask: () => Promise<T>): (want?: "fresh" | "cached") => Promise<T> {
  let latest: { readonly answer: Promise<T>; readonly askedAtMs: number } | undefined;
  return (want = "cached") => {
    if (want === "cached" && latest && monotonicMs() - latest.askedAtMs < ms) return latest.answer;
    const asked = { answer: ask(), askedAtMs: monotonicMs() };
    latest = asked;
    asked.answer.catch(() => {
      if (latest === asked) latest = undefined;
    });
    return asked.answer;
  };
}
