import * as z from "zod";

/** First folders of keys that are the system's own, or may be one day. */
const RESERVED = [
  ...["assets", "batches", "cache", "comfyq", "comfyq-check", "deliveries", "files", "inputs", "jobs", "models"],
  ...["schedules", "schedule", "secrets", "system", "templates", "tenants", "tmp", "uploads", "webhooks"],
];

/** Of plain letters, digits and `._-`, so that it means the same in every bucket, folder and URL. */
const OutputPrefix = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9][\w.-]{0,63}(\/[A-Za-z0-9][\w.-]{0,63}){0,7}$/,
    "must be 1 to 8 names of letters, digits, . _ - and /",
  )
  .refine((prefix) => !/\.(\/|$)|\.\./.test(prefix), "no name may end in a dot or have two in a row")
  .refine(
    (prefix) => !RESERVED.includes(prefix.split("/")[0]?.toLowerCase() ?? ""),
    "its first name is one of the system's own; begin with another",
  )
  .meta({ description: "Files are stored under `<prefix>/<job id>/…` of the bucket or folder instead of `jobs/…`" });

const PictureFormat = z.enum(["webp", "jpeg"]);

/** What becomes of a job's files on their way to the store. */
export const OutputOptions = z
  .strictObject({
    prefix: OutputPrefix.optional(),
    convert: z
      .strictObject({ format: PictureFormat, quality: z.int().min(1).max(100).default(85) })
      .optional()
      .meta({
        description:
          "Still pictures are stored in this format; what is transparent becomes white in a jpeg. " +
          "One that cannot be converted stays as it is, and says so in its warnings",
      }),
    thumbnail: z
      .strictObject({ max_px: z.int().min(16).max(1_024).default(256), format: PictureFormat.default("webp") })
      .optional()
      .meta({ description: "A small picture beside every still picture, at most so many pixels wide and high" }),
    inline: z
      .boolean()
      .optional()
      .meta({ description: "Files come with the job as `data_base64`, up to 1 MB of them; read anew for each answer" }),
    strip_metadata: z.boolean().optional().meta({
      description: "The workflow and other texts are taken out of PNG, JPEG, WebP, MP4, MOV, WebM, MKV and FLAC files",
    }),
  })
  .meta({ id: "OutputOptions" });
export type OutputOptions = z.infer<typeof OutputOptions>;
