/** What this worker is doing, as its loop sees it. */
export interface Activity {
  /** Moment this process began. */
  readonly startedAt: string;
  /** Jobs held: the one that renders and those being stored. */
  readonly held: Set<string>;
  renderingJobId: string | null;
  /** A job is being asked for: it may be ours already, and nobody here know yet. */
  isClaiming: boolean;
  draining: boolean;
}
