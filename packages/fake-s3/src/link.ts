import { TokenBucket } from "./tokenBucket.ts";

/** Speeds of the line to this server, in bytes a second; `undefined` means no limit. */
export interface Bandwidth {
  readonly upBytesPerSecond?: number | undefined;
  readonly downBytesPerSecond?: number | undefined;
}

/** The line that all connections share, as the users of one office share theirs. */
export class Link {
  readonly up = new TokenBucket();
  readonly down = new TokenBucket();

  set({ upBytesPerSecond, downBytesPerSecond }: Bandwidth): void {
    this.up.setRate(upBytesPerSecond);
    this.down.setRate(downBytesPerSecond);
  }
}
