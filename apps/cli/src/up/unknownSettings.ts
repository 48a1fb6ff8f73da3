/**
 * The known name that an unknown one most likely means, when it is near enough to be a slip.
 * Names differ by the letters one has to add, drop or change (Levenshtein).
 */
function nearestName(name: string, known: readonly string[]): string | undefined {
  const [nearest] = known
    .map((candidate) => ({ candidate, slips: distance(name, candidate) }))
    .filter(({ slips }) => slips <= 3)
    .sort((a, b) => a.slips - b.slips);
  return nearest?.candidate;
}

function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [row, letter] of a.split("").entries()) {
    const line = [row + 1];
    for (let column = 0; column < b.length; column += 1) {
      const changed = (above[column] ?? 0) + (letter === b[column] ? 0 : 1);
      line.push(Math.min(changed, (above[column + 1] ?? 0) + 1, (line[column] ?? 0) + 1));
    }
    above = line;
  }
  return above[b.length] ?? 0;
}

/** Our variables in the environment that no setting has: most likely misspelt, and silently without effect. */
export function unknownSettings(
  env: Readonly<Record<string, string | undefined>>,
  known: readonly string[],
): readonly string[] {
  return Object.keys(env)
    .filter((name) => /^(COMFYQ|COMFYUI)_/.test(name) && !known.includes(name))
    .map((name) => {
      const meant = nearestName(name, known);
      return meant ? `${name} is no setting; did you mean ${meant}?` : `${name} is no setting; --help lists them.`;
    });
}
