import { rm, stat } from "node:fs/promises";
import { newId } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { type Downloaded, downloadModel } from "./downloadModel.ts";
import { chooseEviction } from "./makeRoom.ts";
import { factsOf, freeBytesOf, giveName, takeOut } from "./modelFiles.ts";
import { forgetModel, hasPast, isSameFile } from "./modelIndex.ts";
import { type PlacedModel, type Placing, placed } from "./placing.ts";
import { sourceName } from "./sourceName.ts";

/** The right to download one model, as the index holds it. */
interface Claim {
  readonly id: string;
  readonly replaces: "nothing" | "ours";
}

/**
 * Downloads a claimed model and gives it its name.
 * @returns undefined when the claim was lost on the way, or an operator was faster: look again
 * @throws as placeModel
 */
export async function installModel(placing: Placing, claim: Claim, tools: Tools): Promise<PlacedModel | undefined> {
  const { wish, caller, store } = placing;
  const partFile = store.folder.partFile(claim.id);
  let reservedBytes = 0;
  const reserve = async (bytes: number): Promise<void> => {
    if (bytes <= reservedBytes) return;
    await makeRoom(placing, claim, bytes - reservedBytes);
    reservedBytes = bytes;
  };
  try {
    const onBytes = (bytes: number) => {
      store.counts.downloadedBytes += bytes;
    };
    const steps = { partFile, reserve, onBytes, hasRoom: () => hasRoom(placing, claim) };
    const got = await downloadModel(wish, caller, { steps, tools });
    return await publish(placing, claim, got);
  } catch (error) {
    if (error instanceof LostClaim) return undefined;
    throw error;
  } finally {
    await giveUp(placing, claim).catch(() => {}); // a folder that is away: it ends with its owner
  }
}

/** This process stood still for so long that another took it over. */
class LostClaim extends Error {
  override readonly name = "LostClaim";
}

async function makeRoom({ wish, caller, store, at }: Placing, { id }: Claim, moreBytes: number): Promise<void> {
  const { folder, budgetBytes, counts } = store;
  const taken = await folder.change(caller.signal, async ({ index, save }) => {
    const claimed = index.downloads[at.path];
    if (claimed?.id !== id) throw new LostClaim();
    const freeBytes = await freeBytesOf(folder, index, id);
    const eviction = chooseEviction(index, moreBytes, { freeBytes, budgetBytes });
    if ("shortBytes" in eviction) throw full(wish.label, eviction.shortBytes, budgetBytes);
    const out = await takeOut(folder, eviction.evict);
    for (const path of eviction.evict) forgetModel(index, path);
    claimed.reserved_bytes += moreBytes;
    await save();
    counts.evictions += eviction.evict.length;
    return out;
  });
  await taken.remove();
}

function full(label: string, shortBytes: number, budgetBytes: number | undefined): JobError {
  const why =
    budgetBytes === undefined ? "nothing is evicted" : "what jobs use now stays, and so does what others put there";
  const limit =
    budgetBytes === undefined ? "no COMFYQ_MODELS_BUDGET_BYTES is set" : `the budget is ${budgetBytes} bytes`;
  return new JobError(
    "models_full",
    `Model ${label} does not fit into the models folder: ${shortBytes} bytes more are needed (${limit}, ${why}); make room`,
  );
}

/** Somebody else may have filled the disk since room was made. */
async function hasRoom({ store }: Placing, { id }: Claim): Promise<boolean> {
  return (await freeBytesOf(store.folder, await store.folder.peek(), id)) > 0;
}

/** In the index first: a name without an entry would be an operator's for ever; an entry without a file is dropped. */
async function publish(placing: Placing, claim: Claim, got: Downloaded): Promise<PlacedModel | undefined> {
  const { wish, caller, store, at } = placing;
  const { folder } = store;
  const part = folder.partFile(claim.id);
  const use = newId();
  const installed = await folder.change(caller.signal, async ({ index, nowMs, save }) => {
    if (index.downloads[at.path]?.id !== claim.id) return undefined;
    const [there, ours] = [await factsOf(at.file), index.models[at.path]];
    const mayReplace = claim.replaces === "ours" && ours !== undefined;
    if (there && !(mayReplace && isSameFile(there, ours))) return undefined; // an operator's by now
    const { size, mtimeMs } = await stat(part);
    const moments = { installed_at_ms: nowMs, used_at_ms: nowMs };
    const facts = { source: sourceName(wish.source.url), sha256: got.sha256, size_bytes: size, mtime_ms: mtimeMs };
    forgetModel(index, at.path);
    index.models[at.path] = { ...facts, ...moments };
    index.uses[use] = { owner: folder.owner.id, path: at.path };
    delete index.downloads[at.path];
    await save();
    if (await giveName(part, at.file, claim.replaces)) return { hasPast: hasPast(index, at.path, got.sha256) };
    delete index.models[at.path];
    delete index.uses[use];
    await save();
    return undefined;
  });
  if (!installed) return undefined;
  store.counts.downloads += 1;
  return placed(placing, use, { content: got.sha256, ...installed });
}

async function giveUp({ store, at }: Placing, { id }: Claim): Promise<void> {
  await rm(store.folder.partFile(id), { force: true });
  await store.folder.change(new AbortController().signal, async ({ index, save }) => {
    if (index.downloads[at.path]?.id !== id) return;
    delete index.downloads[at.path];
    await save();
  });
}
