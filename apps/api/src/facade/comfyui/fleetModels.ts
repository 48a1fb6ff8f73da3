import { ModelLists } from "@comfyq/contract";
import type { Rooms } from "../../rooms.ts";
import { type AskPool, createToldFacts } from "./toldFacts.ts";

/** Names of the models of a pool's live instances, by folder, as if they were one; a little old. */
export function createFleetModels(rooms: Pick<Rooms, "producer">): AskPool<ModelLists> {
  return createToldFacts(rooms, {
    hashOf: ({ model_lists }) => model_lists,
    read: (sha256) => rooms.producer.prompts.modelLists(sha256),
    schema: ModelLists,
    merge: mergeLists,
  });
}

/** Pure. */
function mergeLists(lists: readonly ModelLists[]): ModelLists {
  const names = new Map<string, Set<string>>();
  for (const list of lists)
    for (const [folder, some] of Object.entries(list))
      names.set(folder, new Set([...(names.get(folder) ?? []), ...some]));
  return Object.fromEntries([...names].map(([folder, all]) => [folder, [...all].sort()]));
}
