/** So many bytes may be held at a time, over all accounts. */
export interface ByteBudget {
  open(): ByteAccount;
}

export interface ByteAccount {
  /** @throws Error when there are not so many left */
  take(bytes: number): void;
  /** Gives all of it back; what is taken from now on is not counted. */
  close(): void;
}

export function createByteBudget(limitBytes: number): ByteBudget {
  let leftBytes = limitBytes;
  return {
    open: () => {
      let takenBytes = 0;
      let isOpen = true;
      return {
        take: (bytes) => {
          if (!isOpen) return;
          if (bytes > leftBytes) throw new Error(`more than ${limitBytes} bytes would be staged ahead`);
          leftBytes -= bytes;
          takenBytes += bytes;
        },
        close: () => {
          isOpen = false;
          leftBytes += takenBytes;
          takenBytes = 0;
        },
      };
    },
  };
}
