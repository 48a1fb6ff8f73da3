import * as z from "zod";

const names = (pattern: RegExp, expected: string) =>
  z
    .string()
    .default("")
    .transform((text) => text.split(",").flatMap((name) => name.trim() || []))
    .refine((all) => all.every((name) => pattern.test(name)), expected);

/** Settings of model files that the API and the workers must agree on. */
export const MODEL_SETTINGS = {
  COMFYQ_MODEL_FOLDERS: names(/^\w[\w-]*$/, "names of folders, comma separated").describe(
    "Folders of custom nodes that models may be sent to besides ComfyUI's own, comma separated",
  ),
  COMFYQ_ALLOW_UNSAFE_MODELS: names(/^\.[a-z0-9]+$/, "extensions such as .ckpt,.pt").describe(
    "Extensions of models that can run code when loaded and are taken all the same: .ckpt,.pt,.pth,.bin",
  ),
} as const;

/** The same as the contract's rules take it. */
export function modelRules(settings: z.output<z.ZodObject<typeof MODEL_SETTINGS>>): {
  readonly extraFolders: readonly string[];
  readonly unsafeExtensions: readonly string[];
} {
  return {
    extraFolders: settings.COMFYQ_MODEL_FOLDERS,
    unsafeExtensions: settings.COMFYQ_ALLOW_UNSAFE_MODELS,
  };
}
