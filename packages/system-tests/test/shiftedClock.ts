/** Runs first in each process: its wall clock is off by CLOCK_OFFSET_MS, and jumps to the next of CLOCK_JUMPS_MS with each SIGUSR2. */
const PRELUDE = `
  const Real = Date;
  let offset = Number(process.env.CLOCK_OFFSET_MS ?? 0);
  const jumps = (process.env.CLOCK_JUMPS_MS ?? "").split(",").map(Number);
  process.on("SIGUSR2", () => { offset = jumps.shift() ?? 0; });
  const now = () => Real.now() + offset;
  globalThis.Date = new Proxy(Real, {
    construct: (_, args, target) => Reflect.construct(Real, args.length > 0 ? args : [now()], target),
    apply: () => new Real(now()).toString(),
    get: (_, name) => (name === "now" ? now : Reflect.get(Real, name)),
  });
`;

/** Settings of a process whose wall clock can be set. */
export const SHIFTED_CLOCK = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(PRELUDE)}` };
export const HOUR_MS = 3_600_000;
