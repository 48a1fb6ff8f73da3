import type { Batch, BatchRowPage, BatchRowView, Job } from "@comfyq/contract";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { valuesOnly } from "./graphs.ts";
import { isFinished, readJson, type System, setup } from "./setup.ts";

/** CI's part; `COMFYQ_BATCH_ROWS=10000` is the whole, for a quiet hour. */
const ROWS = Number(process.env["COMFYQ_BATCH_ROWS"] ?? 240);
const PATIENCE = { timeout: 60_000 + ROWS * 200, interval: 250 };

const system = await setup({ workers: 2, timeScale: 0.2, simulatorArgs: ["--speed", "20"] });
afterAll(() => system[Symbol.asyncDispose]());

/** A number from 0 up to 1, the same each time: what is killed when can be seen again. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

async function submitBatch(rows: number, more: object = {}): Promise<Response> {
  const csv = `1.inputs.value\n${Array.from({ length: rows }, (_, row) => `fox ${row}`).join("\n")}\n`;
  const webhook = { url: system.sink.url };
  return fetch(`${system.url}/v1/batches`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": `rows-${rows}-${JSON.stringify(more)}` },
    body: JSON.stringify({ workflow: valuesOnly, csv, webhook, ...more }),
  });
}

/** Undefined while the API is away. */
async function read(id: string): Promise<Batch | undefined> {
  return readJson<Batch>(fetch(`${system.url}/v1/batches/${id}`)).catch(() => undefined);
}

/** Ids of the jobs that BullMQ has in one of its lists. */
async function bullJobs(list: string): Promise<readonly string[]> {
  const key = `comfyq:jobs-default:${list}`;
  const kind = await system.redisCommand("TYPE", key);
  const [command, ...range] =
    { zset: ["ZRANGE", "0", "-1"], list: ["LRANGE", "0", "-1"], set: ["SMEMBERS"] }[kind] ?? [];
  if (command === undefined) return [];
  const ids = await system.redisCommand(command, key, ...range);
  return ids
    .split("\n")
    .filter((id) => id !== "")
    .toSorted();
}

async function allRows(id: string): Promise<readonly BatchRowView[]> {
  const rows: BatchRowView[] = [];
  for (let cursor: string | null = "0"; cursor !== null; ) {
    const page: BatchRowPage = await readJson(fetch(`${system.url}/v1/batches/${id}/rows?limit=100&cursor=${cursor}`));
    rows.push(...page.rows);
    cursor = page.next_cursor;
  }
  return rows;
}

/** Kills one process after the other, as the dice say, and starts it again, until it is told to stop. */
async function killOnAndOn(house: System, until: () => boolean): Promise<number> {
  const dice = seeded(5);
  let kills = 0;
  while (!until()) {
    await new Promise((resolve) => setTimeout(resolve, 400 + dice() * 1_600));
    const pick = dice();
    if (pick < 0.3) {
      await house.api.stop("SIGKILL");
      await house.restartApi();
    } else if (pick < 0.6) {
      await house.dispatcher.stop("SIGKILL");
      await house.restartDispatcher();
    } else {
      const at = pick < 0.8 ? 0 : 1;
      await house.workers[at]?.stop("SIGKILL");
      await house.restartWorker(at);
    }
    kills += 1;
  }
  return kills;
}

test(
  "of a batch whose API, dispatchers and workers are killed again and again each row is one job that ends once, and its end is told once",
  async () => {
    // This API dies when it has made two hundred of the jobs, or at once: in the first fifty.
    await system.api.stop("SIGKILL");
    await system.restartApi({ FAILPOINT: `batch_step:kill9@${ROWS > 1_000 ? 20 : 1}` });
    const { id } = await readJson<Batch>(submitBatch(ROWS));
    expect(await system.api.ended()).toBeNull();
    await system.restartApi();
    let isOver = false;
    onTestFinished(() => {
      isOver = true;
    });
    const killing = killOnAndOn(system, () => isOver);
    await expect.poll(async () => (await read(id))?.status, PATIENCE).toBe("completed");
    isOver = true;
    const kills = await killing;
    const batch = await read(id);
    expect(kills).toBeGreaterThan(0);
    expect(batch?.counts).toMatchObject({ total: ROWS, queued: 0, running: 0, canceled: 0, expired: 0 });
    const rows = await allRows(id);
    expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: ROWS }, (_, row) => row));
    expect(new Set(rows.map(({ job_id }) => job_id)).size).toBe(ROWS);
    // A job whose worker was killed twice is poison; every other one has succeeded.
    const failed = rows.filter(({ status }) => status !== "succeeded");
    expect(failed.every(({ error }) => error?.code === "poison")).toBe(true);
    // BullMQ gives up nothing by itself, however often a job's worker was lost: what it has as failed is what we have.
    expect(await bullJobs("failed")).toEqual(failed.map(({ job_id }) => String(job_id)).toSorted());
    expect(await bullJobs("completed")).toHaveLength(ROWS - failed.length);
    // No place among the queued is left taken, and none was given back twice.
    expect(await system.redisCommand("HGETALL", "comfyq:promised")).toBe("");
    expect(await system.redisCommand("HGET", "comfyq:reserved", "default")).toBe("0");
    for (const list of ["wait", "active", "delayed", "prioritized", "stalled"])
      expect([list, await bullJobs(list)]).toEqual([list, []]);
    expect(batch?.counts).toMatchObject({ succeeded: ROWS - failed.length, failed: failed.length });
    for (const { row, outputs, status } of rows)
      if (status === "succeeded") expect(JSON.stringify(outputs)).toContain(`fox ${row}`);
    await expect.poll(() => system.sink.ofType("batch.completed").length, PATIENCE).toBeGreaterThan(0);
    const told = system.sink.ofType("batch.completed");
    expect(new Set(told.map(({ id: eventId }) => eventId)).size).toBe(1);
    expect(told[0]?.isGenuine).toBe(true);
    expect(told[0]?.event.data).toMatchObject({ batch: { id, counts: batch?.counts } });
    if (ROWS > 1_000) process.stdout.write(`${ROWS} rows, ${kills} kills, ${JSON.stringify(batch?.counts)}\n`);
  },
  PATIENCE.timeout * 2,
);

test(
  "a single job that comes after a whole batch is done long before it, and a dispatcher that dies with the end untold tells it once",
  async () => {
    await system.dispatcher.stop("SIGKILL");
    await system.restartDispatcher({ FAILPOINT: `row_noted:kill9@40` });
    const { id } = await readJson<Batch>(submitBatch(40, { tags: ["second"] }));
    const single = await system.submit({ workflow: valuesOnly });
    const done: Job = await system.until(single.id, isFinished);
    const openRows = (await read(id))?.counts.queued ?? 0;
    expect(done.status).toBe("succeeded");
    expect(openRows).toBeGreaterThan(20);
    await expect.poll(async () => (await read(id))?.status, PATIENCE).toBe("completed");
    expect(await system.dispatcher.ended()).toBeNull();
    await system.restartDispatcher();
    const told = () => system.sink.ofType("batch.completed").filter(({ body }) => body.includes(id));
    await expect.poll(() => told().length, PATIENCE).toBe(1);
  },
  PATIENCE.timeout,
);

test(
  "a batch that is canceled while the API dies is canceled all the same, and says so once",
  async () => {
    const { id } = await readJson<Batch>(submitBatch(120, { pool: "nobody" }));
    await expect.poll(async () => (await allRows(id)).every(({ job_id }) => job_id !== null), PATIENCE).toBe(true);
    await system.api.stop("SIGKILL");
    await system.restartApi({ FAILPOINT: "batch_step:kill9@1" });
    await fetch(`${system.url}/v1/batches/${id}/cancel`, { method: "POST" }).catch(() => undefined);
    expect(await system.api.ended()).toBeNull();
    await system.restartApi();
    await expect.poll(async () => (await read(id))?.status, PATIENCE).toBe("canceled");
    expect((await read(id))?.counts).toMatchObject({ canceled: 120 });
    const told = () => system.sink.ofType("batch.completed").filter(({ body }) => body.includes(id));
    await expect.poll(() => told().length, PATIENCE).toBe(1);
  },
  PATIENCE.timeout,
);
