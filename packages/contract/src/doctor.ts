import * as z from "zod";

/** One thing that `comfyq doctor` looked at. `advice` says what to do when it is not ok. */
export const DoctorCheck = z.object({
  name: z.string(),
  state: z.enum(["ok", "warn", "fail"]),
  found: z.string(),
  advice: z.string().nullable(),
});
export type DoctorCheck = z.infer<typeof DoctorCheck>;

export const DoctorReport = z.object({ ok: z.boolean(), checks: z.array(DoctorCheck) }).meta({ id: "DoctorReport" });
export type DoctorReport = z.infer<typeof DoctorReport>;
