import type { Event } from "./events.ts";
import type { Story } from "./stories.ts";

/** A job whose renders end well. */
const submit: Event = { submit: { nature: { fate: "ok", times: 1 }, maxAttempts: 1, expiresInMs: undefined } };

function fleet(gpus: number, spare: number, events: readonly Event[]): Story {
  return { setup: { gpus, spare, isLoopback: false, canRestart: false, dice: 0 }, events };
}

/** A worker sleeps after its claim was granted; when it wakes its lock has only a few seconds left, and then its line is cut. */
export const SLEPT_AFTER_ITS_CLAIM = fleet(2, 0, [
  { worker: "freeze", at: 1, stage: "claimed", forMs: 6_000 },
  submit,
  submit,
  { tickMs: 6_200 },
  { worker: "cut", at: 1 },
  { tickMs: 20_000 },
]);

/** A worker and its spare are both away for a while; each then finds a job, and remembers that it drives the ComfyUI. */
export const TWO_DRIVERS = fleet(1, 1, [submit, submit, { worker: "cut", at: 1 }, { worker: "freeze", at: 0 }]);

/** ComfyUI is down when a prompt is to be sent; later the worker dies once. Nobody has died of this job twice. */
export const REFUSED_THEN_DEAD = fleet(1, 0, [
  submit,
  { tickMs: 600 },
  { comfyui: "crash", at: 0 },
  { tickMs: 1_400 },
  { comfyui: "back", at: 0 },
  { worker: "crash", at: 0, stage: "rendering", forMs: 0 },
  { tickMs: 30_000 },
]);

/** Stories that once broke a promise, by what was seen then. */
export const TOLD: readonly (readonly [string, Story])[] = [
  ["a worker that slept after its claim goes on beside another", SLEPT_AFTER_ITS_CLAIM],
  ["a worker whose line heals begins a job at a ComfyUI that its spare drives", TWO_DRIVERS],
  [
    "a worker that woke with its job's lock, but not its ComfyUI's, sends a prompt beside that of its spare",
    fleet(2, 1, [
      submit,
      { worker: "freeze", at: 5, stage: "preparing", forMs: 9_600 },
      submit,
      { worker: "mute", at: 1 },
      { tickMs: 400 },
    ]),
  ],
  ["a job that ComfyUI refused while it was down is called poison after one death", REFUSED_THEN_DEAD],
  [
    "a job canceled between its claim and its beginning goes back to queued",
    fleet(1, 0, [submit, { tickMs: 100 }, { cancel: 0 }]),
  ],
  [
    "a job that was found expired, and canceled a moment later, ends in a status it may not have",
    fleet(1, 0, [
      { submit: { nature: { fate: "ok", times: 1 }, maxAttempts: 1, expiresInMs: 1_000 } },
      { worker: "crash", at: 0, stage: "claimed", forMs: 0 },
      { house: "sweeperDown" },
      { tickMs: 1_000 },
      { worker: "restart", at: 0 },
      { tickMs: 22_500 },
      { cancel: 0 },
    ]),
  ],
  [
    "the prompt of a job that a neighbour just then declines runs beside that of another",
    fleet(2, 0, [
      { submit: { nature: { fate: "silence", times: 1 }, maxAttempts: 1, expiresInMs: undefined } },
      { tickMs: 800 },
      { comfyui: "away", at: 0 },
      { tickMs: 6_000 },
      submit,
      { comfyui: "back", at: 0 },
      { tickMs: 20_000 },
    ]),
  ],
];
