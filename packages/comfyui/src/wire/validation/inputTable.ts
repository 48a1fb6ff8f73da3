/** One declared input with its category. */
export interface DeclaredInput {
  readonly name: string;
  readonly type: string | readonly unknown[];
  readonly config: Readonly<Record<string, unknown>>;
  readonly isRequired: boolean;
}

/** `[type, config]` as `object_info` shows it: the type is a name, or the options of a combo. */
export type InputDeclaration = readonly [type: string | readonly unknown[], config?: Readonly<Record<string, unknown>>];

/** What a class declares, as `object_info` has it. */
interface DeclaredInputs {
  readonly required?: Readonly<Record<string, InputDeclaration>> | undefined;
  readonly optional?: Readonly<Record<string, InputDeclaration>> | undefined;
}

/**
 * Everything a class declares except hidden inputs, by name in alphabetical order: ComfyUI walks a set, so that the
 * order of its errors is arbitrary.
 */
export function declaredInputs({ required = {}, optional = {} }: DeclaredInputs): readonly DeclaredInput[] {
  const all = [...Object.entries(optional).map(toDeclared(false)), ...Object.entries(required).map(toDeclared(true))];
  return all.sort((one, other) => (one.name < other.name ? -1 : 1));
}

const toDeclared =
  (isRequired: boolean) =>
  ([name, [type, config = {}]]: readonly [string, InputDeclaration]): DeclaredInput => ({
    name,
    type,
    config,
    isRequired,
  });

/** The options of a combo in either style; undefined when the input is none. */
export function optionsOf(input: DeclaredInput): readonly unknown[] | undefined {
  if (Array.isArray(input.type)) return input.type;
  if (input.type !== "COMBO") return undefined;
  const options = input.config["options"];
  return Array.isArray(options) ? options : [];
}
