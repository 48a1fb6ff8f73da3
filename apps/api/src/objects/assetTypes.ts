import { ApiError } from "../errors.ts";

/**
 * @param allowed types such as `image/*` and `video/mp4`; none: everything is taken
 * @throws ApiError `unsupported_media_type`
 */
export function checkAssetType(contentType: string, allowed: readonly string[]): void {
  const [type = ""] = contentType.split(";"); // without its charset
  const [kind] = type.split("/");
  if (allowed.length === 0 || allowed.includes(type) || allowed.includes(`${kind}/*`)) return;
  throw new ApiError(
    "unsupported_media_type",
    `Files of the type ${type} are not taken here, only ${allowed.join(", ")}; name the file by its real type`,
  );
}
