/** Where a client is in a job's events. */
export interface EventPlace {
  /** Id of the queue's stream: `<ms>-<serial>`. */
  readonly id: string;
  /** It has seen the end. */
  readonly isEnd: boolean;
}

/**
 * The id as a client gets and returns it. The end is marked, because a terminal status that was made up from the job (its
 * event was lost) has the id of the event before it.
 */
export function formatEventId({ id, isEnd }: EventPlace): string {
  return isEnd ? `${id}-end` : id;
}

/** @returns undefined for what is no id of ours: the stream then begins with a snapshot */
export function parseEventId(text: string | undefined): EventPlace | undefined {
  const [, id, end] = /^(\d{1,20}-\d{1,20})(-end)?$/.exec(text ?? "") ?? [];
  return id === undefined ? undefined : { id, isEnd: end !== undefined };
}
