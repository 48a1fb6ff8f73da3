import { z } from "zod";

/**
 * One declared input: `[type]`, `[type, config]` or, for a combo, `[[options…], config]` (V1) or
 * `["COMBO", { options: […] }]` (new style). Read options through {@link comboOptions}.
 */
export const InputSpec = z.tuple([z.union([z.string(), z.array(z.unknown())])]).rest(z.unknown());
export type InputSpec = z.infer<typeof InputSpec>;

// Custom nodes declare all sorts of things; a strange input must not hide the rest of the class.
const Inputs = z.record(z.string(), z.union([InputSpec, z.unknown()]));

/** One class of `GET /object_info` (server.py node_info). */
export const ObjectInfoNode = z.looseObject({
  input: z
    .looseObject({
      required: Inputs.optional(),
      optional: Inputs.optional(),
      hidden: z.unknown().optional(),
    })
    .optional(),
  input_order: z.record(z.string(), z.array(z.string())).optional(),
  output: z.array(z.unknown()).nullable().optional(),
  output_name: z.array(z.unknown()).nullable().optional(),
  name: z.string(),
  display_name: z.string().nullable().optional(),
  description: z.string().nullable().optional(),
  category: z.string().nullable().optional(),
  output_node: z.boolean().optional(),
  /** Marks paid partner nodes. */
  api_node: z.boolean().optional(),
  deprecated: z.boolean().optional(),
});
export type ObjectInfoNode = z.infer<typeof ObjectInfoNode>;

/** `GET /object_info` and `GET /object_info/{class}`; `{}` when the class is unknown. */
export const ObjectInfo = z.record(z.string(), ObjectInfoNode);
export type ObjectInfo = z.infer<typeof ObjectInfo>;

const ComboConfig = z.looseObject({ options: z.array(z.unknown()) });

/** The options of a combo input, in either style; undefined when the input is not a combo. */
export function comboOptions(spec: unknown): readonly unknown[] | undefined {
  const parsed = InputSpec.safeParse(spec);
  if (!parsed.success) return undefined;
  const [type, config] = parsed.data;
  if (Array.isArray(type)) return type;
  const combo = type === "COMBO" ? ComboConfig.safeParse(config) : undefined;
  return combo?.success ? combo.data.options : undefined;
}
