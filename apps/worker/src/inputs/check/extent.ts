/** How much a loader would unpack: the pixels of one frame, and of all of them together. */
export interface Extent {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

/** Frames are counted no further than this: whoever asks has had enough by then. */
export const MOST_FRAMES = 100_000;
