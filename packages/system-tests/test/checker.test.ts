import { COMFYQ_NAMESPACE, uuidV5 } from "@comfyq/contract";
import { describe, expect, test } from "vitest";
import { check } from "../chaos/checker/check.ts";
import type { Invariant } from "../chaos/checker/judgement.ts";
import { parseHistory } from "../chaos/history.ts";

const JOB = "0198b6a1-0000-7000-8000-00000000000a";
const WORKER = 11;
const SIMULATOR = "simulator:1";
const KEY = `jobs/${JOB}/1/fox.png`;
const SHA = "a".repeat(64);
const EVENT = uuidV5(`${JOB}:job.succeeded`, COMFYQ_NAMESPACE);

/** One line as text: second, actor, op, the rest. */
type Row = readonly [seconds: number, actor: string | number, op: string, facts?: object];

const held = { job: JOB, epoch: 1 };
const prompt = { ...held, prompt: "p1" };

/** A job's ordinary life, in which everybody keeps every promise. */
const GOOD: readonly Row[] = [
  [0, "harness", "process_started", { pid: WORKER, name: "worker-0", kind: "worker" }],
  [0, SIMULATOR, "booted"],
  [1, "client", "accepted", { job: JOB, tenant: "alpha", kind: "picture", webhook: true, sizes: [5000] }],
  [1, "client", "watching", { job: JOB, watcher: "w", after: null }],
  [1, "client", "peek", { job: JOB, owner: "alpha", by: "beta", what: "read", status: 404, found: false }],
  [2, WORKER, "claimed", held],
  [2, WORKER, "journaled", prompt],
  [2, SIMULATOR, "queued", prompt],
  [2, WORKER, "submitted", prompt],
  [3, SIMULATOR, "started", prompt],
  [3, "client", "progress", { job: JOB, watcher: "w", attempt: 1, value: 0.5 }],
  [4, SIMULATOR, "ended", { ...prompt, status: "success" }],
  [5, WORKER, "output_stored", { ...held, key: KEY, sha256: SHA, size: 5000 }],
  [6, WORKER, "sealed", { ...held, won: true }],
  [7, WORKER, "settled", { ...held, outcome: "succeeded", ended: true }],
  [8, "client", "observed", { job: JOB, status: "succeeded", asked: 7_900 }],
  [8, "client", "terminal", { job: JOB, watcher: "w", status: "succeeded" }],
  [9, "sink", "received", { job: JOB, event: EVENT, type: "job.succeeded", bodySha: "b", genuine: true, status: 204 }],
  [50, "harness", "quiesced", { waitedMs: 1 }],
  [50, "harness", "manifest", { job: JOB, epoch: 1, outputs: [{ key: KEY, sha256: SHA, size: 5000 }] }],
  [50, "harness", "object", { job: JOB, key: KEY, sha256: SHA, size: 5000, storedAt: 4_900 }],
  [50, "harness", "baseline", { what: "temporary files", found: 0, allowed: 0 }],
];

function judge(rows: readonly Row[]) {
  const text = rows.map(([seconds, actor, op, facts]) => JSON.stringify({ t: seconds * 1_000, actor, op, ...facts }));
  return check(parseHistory(text.join("\n")));
}

function violatedIn(rows: readonly Row[]): readonly Invariant[] {
  return judge(rows).flatMap(({ invariant, verdict }) => (verdict === "violated" ? [invariant] : []));
}

function verdictIn(rows: readonly Row[], wanted: Invariant) {
  return judge(rows).find(({ invariant }) => invariant === wanted)?.verdict;
}

/** The good life with some ops left out and some lines added. */
function life(without: readonly string[], ...more: readonly Row[]): readonly Row[] {
  return [...GOOD.filter(([, , op]) => !without.includes(op)), ...more];
}

/** The same prompt's later life on the same simulator, or another's on another. */
const second = { job: JOB, epoch: 2, prompt: "p2" };

describe("the checker", () => {
  test("finds every promise kept in an ordinary life", () => {
    const verdicts = Object.fromEntries(judge(GOOD).map(({ invariant, verdict }) => [invariant, verdict]));
    // nothing had to be stopped, and nothing died
    expect(verdicts).toEqual({
      ...Object.fromEntries(["I1", "I2", "I3", "I5", "I6", "I8", "I9", "I10", "I11", "I12"].map((i) => [i, "holds"])),
      I4: "not exercised",
      I7: "not exercised",
    });
  });

  test("says of an empty run that it shows nothing", () => {
    expect(new Set(judge([]).map(({ verdict }) => verdict))).toEqual(new Set(["not exercised"]));
  });

  test("leaves lines out that no promise is about, and refuses half a line", () => {
    expect(judge([...GOOD, [60, WORKER, "stopped", { ...held, stop_ms: 12 }]])).toEqual(judge(GOOD));
    expect(() => judge([[1, "sink", "received", { job: JOB }]])).toThrow(/line 1 of the history/);
  });
});

/** Each of these breaks one promise, and the checker must name that one and no other. */
const BREACHES: readonly (readonly [what: string, invariant: Invariant, rows: readonly Row[]])[] = [
  [
    "an accepted job that is never heard of again",
    "I1",
    [[1, "client", "accepted", { job: JOB, tenant: "alpha", kind: "picture", webhook: false, sizes: [] }]],
  ],
  [
    "an accepted job that is gone in the end",
    "I1",
    [
      [1, "client", "accepted", { job: JOB, tenant: "alpha", kind: "picture", webhook: false, sizes: [] }],
      [9, "client", "observed", { job: JOB, status: "gone", asked: 8_000 }],
    ],
  ],
  [
    "a job that still runs when all is quiet",
    "I1",
    life(
      ["settled", "observed", "terminal", "received", "watching"],
      [49, "client", "observed", { job: JOB, status: "running", asked: 48_000 }],
    ),
  ],
  [
    "a canceled job that had succeeded",
    "I2",
    life(
      [],
      [10, "client", "observed", { job: JOB, status: "canceled", asked: 9_900 }],
      [11, "client", "observed", { job: JOB, status: "succeeded", asked: 10_900 }],
    ),
  ],
  [
    "a job that runs again after its end",
    "I2",
    life(
      [],
      [8.5, "client", "observed", { job: JOB, status: "running", asked: 8_400 }],
      [9, "client", "observed", { job: JOB, status: "succeeded", asked: 8_900 }],
    ),
  ],
  [
    "two attempts that both end a job",
    "I2",
    life([], [7.5, 12, "settled", { job: JOB, epoch: 2, outcome: "succeeded", ended: true }]),
  ],
  [
    "a webhook with an id of its own making",
    "I3",
    life(
      [],
      [
        10,
        "sink",
        "received",
        {
          job: JOB,
          event: uuidV5("other", COMFYQ_NAMESPACE),
          type: "job.succeeded",
          bodySha: "b",
          genuine: true,
          status: 204,
        },
      ],
    ),
  ],
  [
    "other bytes under one event id",
    "I3",
    life(
      [],
      [
        10,
        "sink",
        "received",
        { job: JOB, event: EVENT, type: "job.succeeded", bodySha: "c", genuine: true, status: 204 },
      ],
    ),
  ],
  [
    "a webhook that never arrived",
    "I3",
    life(
      ["received"],
      [
        9,
        "sink",
        "received",
        { job: JOB, event: EVENT, type: "job.succeeded", bodySha: "b", genuine: true, status: 500 },
      ],
    ),
  ],
  [
    "a webhook whose signature is wrong",
    "I3",
    life(
      [],
      [
        10,
        "sink",
        "received",
        { job: JOB, event: EVENT, type: "job.succeeded", bodySha: "b", genuine: false, status: 204 },
      ],
    ),
  ],
  [
    "a prompt that runs on for 16 s after its worker was fenced",
    "I4",
    life(
      ["ended"],
      [3.5, WORKER, "fenced", held],
      [19.6, SIMULATOR, "ended", { ...prompt, status: "interrupted" }],
      [20, SIMULATOR, "booted"],
    ),
  ],
  [
    "a prompt that is still there at the end, though another attempt has taken over elsewhere",
    "I4",
    life(
      ["ended", "settled", "observed", "terminal", "received", "accepted", "manifest", "object", "watching"],
      [4, WORKER, "fenced", held],
      [6, 12, "submitted", second],
    ),
  ],
  [
    "a manifest with a file of another job",
    "I5",
    life(
      ["manifest"],
      [
        50,
        "harness",
        "manifest",
        { job: JOB, epoch: 1, outputs: [{ key: KEY.replace("/1/", "/9/"), sha256: SHA, size: 5000 }] },
      ],
      [50, "harness", "object", { job: JOB, key: KEY.replace("/1/", "/9/"), sha256: SHA, size: 5000, storedAt: 4_900 }],
    ),
  ],
  ["a manifest with a file its attempt never stored", "I5", life(["output_stored"])],
  [
    "a file of the size of another job's",
    "I5",
    life(
      ["accepted"],
      [1, "client", "accepted", { job: JOB, tenant: "alpha", kind: "picture", webhook: true, sizes: [6000] }],
    ),
  ],
  ["a success without a manifest", "I6", life(["manifest"])],
  ["a success whose file is not in the store", "I6", life(["object"])],
  [
    "a success whose file came later",
    "I6",
    life(["object"], [50, "harness", "object", { job: JOB, key: KEY, sha256: SHA, size: 5000, storedAt: 7_500 }]),
  ],
  [
    "a job that is started a third time after two deaths",
    "I7",
    life(
      ["settled"],
      [1.1, 21, "claimed", { job: JOB, epoch: 3 }],
      [1.2, "harness", "process_ended", { pid: 21, name: "worker-1", kind: "worker", wanted: true }],
      [1.3, 22, "claimed", { job: JOB, epoch: 4 }],
      [1.4, "harness", "process_ended", { pid: 22, name: "worker-1", kind: "worker", wanted: true }],
      [1.5, 23, "claimed", { job: JOB, epoch: 5 }],
    ),
  ],
  [
    "a deadly job that is no poison in the end",
    "I7",
    life(
      ["accepted"],
      [1, "client", "accepted", { job: JOB, tenant: "alpha", kind: "poison", webhook: true, sizes: [5000] }],
    ),
  ],
  [
    "a temporary file that stays",
    "I8",
    life(["baseline"], [50, "harness", "baseline", { what: "temporary files", found: 1, allowed: 0 }]),
  ],
  [
    "a job that another tenant can read",
    "I9",
    life(
      ["peek"],
      [1, "client", "peek", { job: JOB, owner: "alpha", by: "beta", what: "read", status: 200, found: true }],
    ),
  ],
  [
    "a job that another tenant can tell from none",
    "I9",
    life(
      ["peek"],
      [1, "client", "peek", { job: JOB, owner: "alpha", by: "beta", what: "cancel", status: 403, found: false }],
    ),
  ],
  [
    "progress that goes back",
    "I10",
    life([], [3.5, "client", "progress", { job: JOB, watcher: "w", attempt: 1, value: 0.4 }]),
  ],
  ["a watcher who is never told the end", "I10", life(["terminal"])],
  [
    "a lost answer that was answered with a second prompt",
    "I11",
    life(
      [],
      [4.1, SIMULATOR, "queued", { ...held, prompt: "p9" }],
      [4.2, SIMULATOR, "removed", { ...held, prompt: "p9" }],
    ),
  ],
  [
    "two jobs on one instance at once",
    "I11",
    life(
      [],
      [2.5, SIMULATOR, "queued", { job: "other", epoch: 1, prompt: "p5" }],
      [4.5, SIMULATOR, "started", { job: "other", epoch: 1, prompt: "p5" }],
      [5, SIMULATOR, "ended", { job: "other", epoch: 1, prompt: "p5", status: "success" }],
    ),
  ],
  [
    "a second render after nothing but a failing store",
    "I12",
    life(
      [],
      [4.5, "nemesis", "fault", { id: 1, kind: "s3_errors", target: "s3" }],
      [5.1, SIMULATOR, "queued", second],
      [5.2, SIMULATOR, "started", second],
      [5.3, SIMULATOR, "ended", { ...second, status: "success" }],
      [5.4, "nemesis", "healed", { id: 1 }],
    ),
  ],
];

test.each(BREACHES)("%s breaks %s", (_what, invariant, rows) => {
  expect(violatedIn(rows)).toEqual([invariant]);
});

/** What looks like a breach and is none. */
const EXCUSED: readonly (readonly [what: string, invariant: Invariant, verdict: string, rows: readonly Row[]])[] = [
  [
    "a fenced worker's prompt that is gone 10 s later",
    "I4",
    "holds",
    life(["ended"], [3.5, WORKER, "fenced", held], [13, SIMULATOR, "ended", { ...prompt, status: "interrupted" }]),
  ],
  [
    "a fenced worker's prompt on an instance that was out of reach meanwhile",
    "I4",
    "holds",
    life(
      ["ended"],
      [3.5, WORKER, "fenced", held],
      [4, "nemesis", "fault", { id: 1, kind: "freeze_comfyui", target: "worker-0", simulator: SIMULATOR }],
      [20, "nemesis", "healed", { id: 1 }],
      [22, SIMULATOR, "ended", { ...prompt, status: "interrupted" }],
    ),
  ],
  [
    "a prompt that the next attempt rejoins",
    "I4",
    "not exercised",
    life(
      ["ended", "settled", "observed", "terminal", "received"],
      [3.5, WORKER, "fenced", held],
      [20, 12, "rejoined", { job: JOB, epoch: 2, prompt: "p1" }],
      [30, SIMULATOR, "ended", { ...prompt, status: "success" }],
    ),
  ],
  [
    "two deaths, and a poison that was found",
    "I7",
    "holds",
    [
      [0, "client", "accepted", { job: JOB, tenant: "alpha", kind: "poison", webhook: false, sizes: [] }],
      [1.1, 21, "claimed", { job: JOB, epoch: 1 }],
      [1.2, "harness", "process_ended", { pid: 21, name: "worker-1", kind: "worker", wanted: true }],
      [1.3, 22, "claimed", { job: JOB, epoch: 2 }],
      [1.4, "harness", "process_ended", { pid: 22, name: "worker-1", kind: "worker", wanted: true }],
      [9, "client", "observed", { job: JOB, status: "failed", code: "poison", asked: 8_000 }],
    ],
  ],
  [
    "a peek at an API in trouble",
    "I9",
    "not exercised",
    life(
      ["peek"],
      [1, "client", "peek", { job: JOB, owner: "alpha", by: "beta", what: "read", status: 503, found: false }],
    ),
  ],
  [
    "progress of the next attempt, from the start",
    "I10",
    "holds",
    life([], [3.5, "client", "progress", { job: JOB, watcher: "w", attempt: 2, value: 0.1 }]),
  ],
  [
    "an old prompt that is being canceled beside the new one",
    "I11",
    "holds",
    life(
      ["ended"],
      [3.6, SIMULATOR, "queued", second],
      [3.9, SIMULATOR, "ended", { ...prompt, status: "interrupted" }],
    ),
  ],
  ...(
    [
      [
        "its worker died",
        [4.5, "harness", "process_ended", { pid: WORKER, name: "worker-0", kind: "worker", wanted: true }],
      ],
      ["its worker was fenced", [4.5, WORKER, "fenced", held]],
      [
        "its history was evicted",
        [3.9, "nemesis", "fault", { id: 1, kind: "history_evicted", target: "", simulator: SIMULATOR }],
      ],
    ] as const
  ).map(
    ([why, row]) =>
      [
        `a second render because ${why}`,
        "I12",
        "holds",
        life(
          ["settled"],
          row,
          [5.1, SIMULATOR, "queued", second],
          [5.2, SIMULATOR, "started", second],
          [5.3, SIMULATOR, "ended", { ...second, status: "success" }],
        ),
      ] as const,
  ),
];

test.each(EXCUSED)("%s: %s %s", (_what, invariant, verdict, rows) => {
  expect(verdictIn(rows, invariant)).toBe(verdict);
});
