import * as z from "zod";

/** What a job wants of results that are kept: take one, make a new one, or have nothing to do with them. */
export const CacheMode = z.enum(["use", "refresh", "off"]);
export type CacheMode = z.infer<typeof CacheMode>;
