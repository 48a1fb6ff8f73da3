import {
  declaredInputs,
  type InputDeclaration,
  InputSpec,
  isObject,
  type ObjectInfo,
  type ObjectInfoNode,
  type ValidatedClass,
} from "@comfyq/comfyui/wire";

/** Marks of an input whose choice is an uploaded file (LoadImage, LoadAudio, LoadVideo and what is made like them). */
const UPLOAD_MARKS = ["image_upload", "video_upload", "audio_upload", "file_upload", "mesh_upload", "model_upload"];

/** May this file be named in an input? */
export type KnowsFile = (name: string) => boolean;

/** A class as far as `object_info` tells: without the checks that it has in Python, but that of its uploaded files. */
export function validatedClasses(info: ObjectInfo, knowsFile: KnowsFile): (name: string) => ValidatedClass | undefined {
  return (name) => {
    const node = Object.hasOwn(info, name) ? info[name] : undefined;
    return node && validatedClass(name, node, knowsFile);
  };
}

function validatedClass(name: string, node: ObjectInfoNode, knowsFile: KnowsFile): ValidatedClass {
  const inputs = declaredInputs({
    required: declarations(node.input?.required),
    optional: declarations(node.input?.optional),
  });
  const uploads = inputs.filter(({ config }) => UPLOAD_MARKS.some((mark) => config[mark] === true));
  return {
    name,
    inputs,
    outputs: (node.output ?? []).map((type) => (typeof type === "string" ? type : "COMBO")),
    isOutput: node.output_node ?? false,
    validation: uploads.length === 0 ? undefined : fileCheck(uploads, knowsFile),
  };
}

/** What grows or changes with other inputs (`COMFY_…` types) is left to ComfyUI to check. */
function declarations(inputs: Readonly<Record<string, unknown>> | undefined): Record<string, InputDeclaration> {
  const declared: Record<string, InputDeclaration> = {};
  for (const [name, spec] of Object.entries(inputs ?? {})) {
    const parsed = InputSpec.safeParse(spec).data;
    if (!parsed || (typeof parsed[0] === "string" && parsed[0].startsWith("COMFY_"))) continue;
    const [type, config] = parsed;
    // As it came: errors show it again.
    declared[name] = isObject(config) ? [type, config] : [type];
  }
  return declared;
}

function fileCheck(uploads: ReturnType<typeof declaredInputs>, knowsFile: KnowsFile): ValidatedClass["validation"] {
  const offered = (name: string) => {
    const input = uploads.find((upload) => upload.name === name);
    const options = Array.isArray(input?.type) ? input.type : input?.config["options"];
    return Array.isArray(options) ? options : [];
  };
  return {
    inputs: uploads.map(({ name }) => name),
    check: (values) => {
      const bad = Object.entries(values).find(
        ([name, value]) => !offered(name).includes(value) && !(typeof value === "string" && knowsFile(value)),
      );
      if (!bad) return true;
      return `Invalid ${bad[0] === "image" ? "image" : bad[0]} file: ${String(bad[1])}`;
    },
  };
}
