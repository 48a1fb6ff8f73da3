import { ApiError } from "../errors.ts";

/** How many event streams may be open at once in this process, whatever door they came through. */
export interface StreamSeats {
  /** @throws ApiError `too_many_streams` */
  take(): Disposable;
}

/** @param limit asked at each take */
export function createStreamSeats(limit: () => number): StreamSeats {
  let open = 0;
  return {
    take: () => {
      if (open >= limit()) {
        const message = `${open} event streams are open, which is the limit; poll the job meanwhile`;
        throw new ApiError("too_many_streams", message, { retryAfterSeconds: 5 });
      }
      open += 1;
      return {
        [Symbol.dispose]: () => {
          open -= 1;
        },
      };
    },
  };
}
