import { CacheMode } from "@comfyq/contract";
import { type Command, Option } from "commander";
import type { ExitCode } from "../CliError.ts";
import {
  type BatchRunOptions,
  batchOutputs,
  cancelBatch,
  listBatches,
  retryBatch,
  runBatch,
  showBatch,
} from "../commands/batch.ts";
import { collect, wholeNumber } from "../optionTypes.ts";

/** `comfyq batch …`: one workflow times many rows. */
export function addBatchCommands(program: Command, finish: (code: ExitCode) => void): void {
  const batch = program.command("batch").description("one workflow times many rows: CSV, JSON lines or a grid");
  addRun(batch, finish);
  batch
    .command("list")
    .description("list batches, newest first")
    .option("--limit <n>", "how many", wholeNumber, 20)
    .option("--cursor <cursor>", "go on from where the last list ended")
    .option("--json", "print the page as JSON")
    .action(async (options: { limit?: number; cursor?: string; json?: boolean }) => finish(await listBatches(options)));
  batch
    .command("show")
    .description("show how far a batch is")
    .argument("<batch>")
    .option("-w, --watch", "follow it to its end")
    .option("--json", "print the Batch as JSON")
    .action(async (id: string, options: { watch?: boolean; json?: boolean }) => finish(await showBatch(id, options)));
  batch
    .command("cancel")
    .description("cancel what has not ended")
    .argument("<batch>")
    .action(async (id: string) => finish(await cancelBatch(id)));
  batch
    .command("retry")
    .description("run the rows that failed again")
    .argument("<batch>")
    .option("--canceled", "those that were canceled, too")
    .option("--expired", "those that were never started in time, too")
    .option("-w, --watch", "follow it to its end")
    .option("-o, --out <folder>", "follow it to its end and save all results here; replaces no file")
    .option("--json", "print the Batch as JSON")
    .action(async (id: string, options: Parameters<typeof retryBatch>[1]) => finish(await retryBatch(id, options)));
  batch
    .command("outputs")
    .description("print the manifest: every result of every row")
    .argument("<batch>")
    .option("--format <json|csv>", "in which form", "json")
    .action(async (id: string, options: { format?: string }) => finish(await batchOutputs(id, options)));
}

function addRun(batch: Command, finish: (code: ExitCode) => void): void {
  batch
    .command("run")
    .description("submit a workflow times its rows")
    .argument("<workflow.json>", 'a workflow in ComfyUI\'s API format (Export (API)); "-" reads it from standard input')
    .option("-r, --rows <file>", "a .csv whose first line names params, or .jsonl with an object on each line")
    .option(
      "-g, --grid <path=values>",
      'every combination: -g 3.inputs.seed=1,2 -g 6.inputs.text=\'["a","b"]\'',
      collect,
    )
    .option("-p, --param <path=value>", "write a value into all of them (repeatable)", collect)
    .option("-w, --watch", "show the progress and wait for the end")
    .option("-o, --out <folder>", "wait for the end and save all results here; replaces no file")
    .option("--json", "print the Batch as JSON")
    .option("--webhook <url>", "who is to be told of the end of all")
    .option("--pool <name>", "which workers may take it")
    .option("--priority <n>", "higher runs first", wholeNumber)
    .option("--tag <tag>", "a word to find it by (repeatable)", collect)
    .option("--timeout <seconds>", "longest one attempt may take", wholeNumber)
    .option("--attempts <n>", "tries of a row that may fail for a reason in the job itself", wholeNumber)
    .option("--at <moment>", "not before this moment, as 2027-01-31T09:00:00Z")
    .addOption(new Option("--cache <mode>", "use: take stored results of identical jobs").choices(CacheMode.options))
    .option("--key <text>", "idempotency key: the same key again is the same batch")
    .action(async (file: string, options: BatchRunOptions) => finish(await runBatch(file, options)));
}
