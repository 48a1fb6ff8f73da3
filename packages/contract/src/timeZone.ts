import * as z from "zod";

/** Is this a name of the time zone data that this system has? */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions();
    return true;
  } catch {
    return false;
  }
}

export const TimeZone = z
  .string()
  .max(64)
  .refine(isTimeZone, "is no time zone that is known here; write an IANA name such as Europe/Berlin")
  .meta({
    description: "IANA name; its changes between winter and summer time are followed",
    example: "Europe/Berlin",
  });
