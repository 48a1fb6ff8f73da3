import { isCursor } from "@comfyq/queue";
import * as z from "zod";

/** Leads from one page of a list to the next. A mangled one begins no list anew: whoever follows it would never come to an end. */
export const PageCursor = z
  .string()
  .min(1)
  .max(256)
  .refine(isCursor, "is no next_cursor of a page; leave it out to begin at the top")
  .meta({ description: "next_cursor of the page before" });
