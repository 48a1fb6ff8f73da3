import type { JobFacts, StoredFile } from "@comfyq/contract";
import type { Rooms } from "../../rooms.ts";
import { storedNames } from "../comfyui/promptHistory.ts";
import { flatNameOf, jobOfFlatName } from "./flatNames.ts";

/** The file of a job of this tenant that has this flat name; undefined for every other name. */
export async function findFlatOutput(
  { producer }: Rooms,
  tenant: string,
  filename: string,
): Promise<StoredFile | undefined> {
  const id = jobOfFlatName(filename);
  if (id === undefined) return undefined;
  const [facts, papers] = await Promise.all([producer.read(tenant, id), producer.prompts.papers(tenant, id)]);
  if (!facts || !papers) return undefined;
  const told = [...Object.entries(storedNames(papers)), ...namesOf(facts)];
  const [, name] = told.find(([path]) => flatNameOf(id, path) === filename) ?? [];
  return facts.outputs.find((one): one is StoredFile => "key" in one && one.name === name);
}

/** What is told of a job of which ComfyUI's own words were not kept. */
function namesOf({ outputs }: JobFacts): readonly (readonly [path: string, name: string])[] {
  return outputs.map(({ name }) => [`output/${name}`, name] as const);
}
