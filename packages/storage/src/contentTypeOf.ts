/** What a browser must not be shown from our origin, or any origin that holds other people's files. */
const UNKNOWN = "application/octet-stream";

/** By extension. HTML, SVG, XML and scripts are missing on purpose: they are unknown here. */
const TYPES: Readonly<Record<string, string>> = {
  aac: "audio/aac",
  aif: "audio/aiff",
  aiff: "audio/aiff",
  apng: "image/apng",
  avi: "video/x-msvideo",
  avif: "image/avif",
  bin: UNKNOWN,
  bmp: "image/bmp",
  ckpt: UNKNOWN,
  csv: "text/csv; charset=utf-8",
  exr: "image/x-exr",
  fbx: UNKNOWN,
  flac: "audio/flac",
  gguf: UNKNOWN,
  gif: "image/gif",
  glb: "model/gltf-binary",
  gltf: "model/gltf+json",
  hdr: "image/vnd.radiance",
  heic: "image/heic",
  ico: "image/vnd.microsoft.icon",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  json: "application/json",
  jxl: "image/jxl",
  ksplat: UNKNOWN,
  latent: UNKNOWN,
  log: "text/plain; charset=utf-8",
  m4a: "audio/mp4",
  m4v: "video/mp4",
  md: "text/plain; charset=utf-8",
  mkv: "video/x-matroska",
  mov: "video/quicktime",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  mtl: "model/mtl",
  npy: UNKNOWN,
  npz: UNKNOWN,
  obj: "model/obj",
  oga: "audio/ogg",
  ogg: "audio/ogg",
  ogv: "video/ogg",
  opus: "audio/ogg",
  pdf: "application/pdf",
  ply: "model/ply",
  png: "image/png",
  pt: UNKNOWN,
  safetensors: UNKNOWN,
  sft: UNKNOWN,
  splat: UNKNOWN,
  spz: UNKNOWN,
  srt: "text/plain; charset=utf-8",
  stl: "model/stl",
  tif: "image/tiff",
  tiff: "image/tiff",
  txt: "text/plain; charset=utf-8",
  usdz: "model/vnd.usdz+zip",
  vtt: "text/vtt; charset=utf-8",
  wav: "audio/wav",
  webm: "video/webm",
  webp: "image/webp",
  yaml: "text/plain; charset=utf-8",
  yml: "text/plain; charset=utf-8",
  zip: "application/zip",
};

const TYPE_FORM =
  /^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*(\s*;\s*[a-z0-9-]+=("[^"\r\n]*"|[a-z0-9_.-]+))*$/i;
const RUNS_IN_A_BROWSER = /^[^;]*(html|xml|javascript|ecmascript|x-shockwave|svg|xslt|mathml)/i;

/** The content type of a file by its name's extension; `application/octet-stream` when it is unknown or could run. */
export function contentTypeOf(filename: string): string {
  const extension = /\.([A-Za-z0-9]+)$/.exec(filename)?.[1]?.toLowerCase() ?? "";
  return (Object.hasOwn(TYPES, extension) && TYPES[extension]) || UNKNOWN;
}

/**
 * A content type that a browser will not run: what is malformed, HTML, XML, SVG or a script becomes
 * `application/octet-stream`.
 */
export function safeContentType(contentType: string): string {
  return TYPE_FORM.test(contentType) && !RUNS_IN_A_BROWSER.test(contentType) ? contentType : UNKNOWN;
}
