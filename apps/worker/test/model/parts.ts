import { SETTINGS, type Settings } from "@comfyq/queue";
import { judgeClaim, leaseAfter, openStatus } from "@comfyq/queue/testing";
import { decideOutcome } from "../../src/attempt/decideOutcome.ts";
import { applyHealthEvent, nextCure, standingOf } from "../../src/instance/instanceHealth.ts";
import { fateOf } from "../../src/instance/leftovers.ts";

/** How the world itself behaves: what BullMQ, the storage and the order of a worker's steps give us. */
export interface Rules {
  readonly settleChecksToken: boolean;
  readonly asksForItsLock: boolean;
  readonly forgetsRefusals: boolean;
  readonly sealsOnce: boolean;
  readonly storesBeforeSealing: boolean;
  readonly looksForManifest: boolean;
  readonly looksForLeftPrompt: boolean;
  readonly rejoins: boolean;
  readonly stopsBeforeCanceled: boolean;
  readonly sortsLeftovers: boolean;
  readonly doubtsItsInstance: boolean;
  readonly tellsWithSameId: boolean;
}

/** Everything that decides in the world. A test replaces one part to see which promise it holds. */
export interface Parts {
  readonly settings: Settings;
  readonly quarantineAfter: number;
  readonly judgeClaim: typeof judgeClaim;
  readonly leaseAfter: typeof leaseAfter;
  readonly decideOutcome: typeof decideOutcome;
  readonly openStatus: typeof openStatus;
  readonly applyHealthEvent: typeof applyHealthEvent;
  readonly standingOf: typeof standingOf;
  readonly nextCure: typeof nextCure;
  readonly fateOf: typeof fateOf;
  readonly rules: Rules;
}

export const REAL: Parts = {
  settings: SETTINGS,
  quarantineAfter: 3,
  judgeClaim,
  leaseAfter,
  decideOutcome,
  openStatus,
  applyHealthEvent,
  standingOf,
  nextCure,
  fateOf,
  rules: {
    settleChecksToken: true,
    asksForItsLock: true,
    forgetsRefusals: true,
    sealsOnce: true,
    storesBeforeSealing: true,
    looksForManifest: true,
    looksForLeftPrompt: true,
    rejoins: true,
    stopsBeforeCanceled: true,
    sortsLeftovers: true,
    doubtsItsInstance: true,
    tellsWithSameId: true,
  },
};
