import { CacheMode, JOB_STATUSES, JobErrorCode, SCOPES } from "@comfyq/contract";
import { Command, Option } from "commander";
import { addScheduleCommands } from "./addScheduleCommands.ts";
import { addBatchCommands } from "./batch/addBatchCommands.ts";
import type { ExitCode } from "./CliError.ts";
import { type CancelOptions, cancel } from "./commands/cancel.ts";
import { doctor } from "./commands/doctor.ts";
import { type JobsOptions, jobs } from "./commands/jobs.ts";
import { type CreateKeyOptions, createKey, listKeys, revokeKey } from "./commands/keys.ts";
import { limits } from "./commands/limits.ts";
import { type RetryOptions, retry } from "./commands/retry.ts";
import { type RunOptions, run } from "./commands/run.ts";
import { watch } from "./commands/watch.ts";
import { collect, wholeNumber } from "./optionTypes.ts";
import type { FinishOptions } from "./run/finishJob.ts";
import { settingsHelp, settingsMarkdown } from "./up/describeSettings.ts";
import { ensureRedisServer } from "./up/ensureRedisServer.ts";
import { runRoom } from "./up/runRoom.ts";
import { up } from "./up/up.ts";
import { addDeliveryCommands, addWebhookCommands } from "./webhookCommands.ts";

/** Gets the exit code of the command that ran. */
export type Finish = (code: ExitCode) => void;

const EXIT_CODES = "Exit code: 0 succeeded, 1 failed, 2 bad input, 3 canceled, 4 expired, 5 no API, 130 Ctrl-C.";

/** The command line: what can be typed, and what is then called. Parsing it is all that happens here. */
export function createProgram(finish: Finish): Command {
  const program = new Command("comfyq")
    .description("A ComfyUI fleet that never loses a job.")
    .showHelpAfterError("(add --help for what there is)")
    .exitOverride();
  addSystemCommands(program, finish);
  addRunCommand(program, finish);
  addJobCommands(program, finish);
  addRetryCommand(program, finish);
  addBatchCommands(program, finish);
  addScheduleCommands(program, finish);
  addWebhookCommands(program, finish);
  addDeliveryCommands(program, finish);
  addKeyCommands(program, finish);
  return program;
}

function addSystemCommands(program: Command, finish: Finish): void {
  program
    .command("up")
    .description("run the whole system on this machine until Ctrl-C")
    .option("--verbose", "show everything that the processes log, not warnings only")
    .addHelpText("after", () => `\n${settingsHelp()}`)
    .action(async ({ verbose }: { verbose?: boolean }) => finish(await up(verbose ? "all" : "warnings")));
  program
    .command("doctor")
    .description("check Redis, storage, every ComfyUI and the clock; say what to do")
    .option("--json", "print the report as JSON")
    .action(async (options: { json?: boolean }) => finish(await doctor(options)));
  program
    .command("limits")
    .description("show your limits, and what you use of them")
    .option("--json", "print them as JSON")
    .action(async (options: { json?: boolean }) => finish(await limits(options)));
  program
    .command("simulator")
    .description("run a ComfyUI without a GPU; all arguments go to it")
    .argument("[args...]")
    .helpOption(false)
    .allowUnknownOption()
    .action(async (args: readonly string[]) => finish(await runRoom("packages/comfyui-simulator", args)));
  program
    .command("settings", { hidden: true })
    .description("print every setting as Markdown, for the README")
    .action(() => {
      process.stdout.write(`${settingsMarkdown()}\n`);
    });
  program
    .command("redis-server", { hidden: true })
    .description("make sure that there is a redis-server on PATH, for the tests")
    .action(async () => finish(await ensureRedisServer()));
}

function addRunCommand(program: Command, finish: Finish): void {
  program
    .command("run")
    .description("submit a workflow")
    .argument("<workflow.json>", 'a workflow in ComfyUI\'s API format (Export (API)); "-" reads it from standard input')
    .option("-p, --param <path=value>", 'write a value into it: -p 6.inputs.text="a fox" (repeatable)', collect)
    .option(
      "-i, --input <path=source>",
      "a file of yours, or a URL, as an input: --input 10.inputs.image=./a.png",
      collect,
    )
    .option("-w, --watch", "show the progress and wait for the end")
    .option("-o, --out <folder>", "wait for the end and save the results here; replaces no file")
    .option("--json", "print the Job as JSON")
    .option("--webhook <url>", "who is to be told of the end")
    .option("--pool <name>", "which workers may take it")
    .option("--priority <n>", "higher runs first", wholeNumber)
    .option("--tag <tag>", "a word to find it by (repeatable)", collect)
    .option("--timeout <seconds>", "longest one attempt may take", wholeNumber)
    .option("--attempts <n>", "tries that may fail for a reason in the job itself", wholeNumber)
    .option("--expires <seconds>", "give up if it has not started by then", wholeNumber)
    .option("--at <moment>", "not before this moment, as 2027-01-31T09:00:00Z")
    .addOption(
      new Option("--cache <mode>", "use: take the stored result of an identical job; refresh: replace it").choices(
        CacheMode.options,
      ),
    )
    .option("--key <text>", "idempotency key: the same key again is the same job")
    .addHelpText("after", `\n${EXIT_CODES}`)
    .action(async (file: string, options: RunOptions) => finish(await run(file, options)));
}

function addJobCommands(program: Command, finish: Finish): void {
  program
    .command("jobs")
    .description("list jobs, newest first")
    .addOption(new Option("--status <status>", "only these").choices(JOB_STATUSES))
    .addOption(errorCode())
    .option("--tag <tag>", "only those with this tag")
    .option("--batch <batch>", "only those of this batch")
    .option("--pool <name>", "only those of this pool")
    .option("--limit <n>", "how many", wholeNumber, 20)
    .option("--cursor <cursor>", "go on from where the last list ended")
    .option("--json", "print the page as JSON")
    .action(async (options: JobsOptions) => finish(await jobs(options)));
  program
    .command("watch")
    .description("follow a job to its end")
    .argument("<job>")
    .option("-o, --out <folder>", "save the results here; replaces no file")
    .option("--json", "print the Job as JSON")
    .addHelpText("after", `\n${EXIT_CODES}`)
    .action(async (jobId: string, options: FinishOptions) => finish(await watch(jobId, options)));
  program
    .command("cancel")
    .description("ask for the end of jobs")
    .argument("<job...>")
    .option("-w, --watch", "wait until their GPUs have stopped, and tell how")
    .action(async (jobIds: readonly string[], options: CancelOptions) => finish(await cancel(jobIds, options)));
}

function addRetryCommand(program: Command, finish: Finish): void {
  program
    .command("retry")
    .description("submit ended jobs again: those you name, or all of a choice")
    .argument("[job...]")
    .addOption(new Option("--failed", "all that failed").conflicts(["canceled", "expired"]))
    .addOption(new Option("--canceled", "all that were canceled").conflicts("expired"))
    .option("--expired", "all that were never started in time")
    .addOption(errorCode())
    .option("--tag <tag>", "only those with this tag")
    .option("--pool <name>", "only those of this pool")
    .option("--after <moment>", "only those made at this moment or later, as 2027-01-31T09:00:00Z")
    .option("--before <moment>", "only those made before this moment")
    .option("--limit <n>", "how many at most; 1000 if left out", wholeNumber)
    .option("--cursor <cursor>", "go on from where the last answer ended")
    .option("--key <text>", "retry once under each key; without one, once at all")
    .option("-n, --dry-run", "tell what would be retried, and change nothing")
    .option("--json", "print the report, or each new Job, as JSON")
    .action(async (jobIds: readonly string[], options: RetryOptions) => finish(await retry(jobIds, options)));
}

function errorCode(): Option {
  return new Option("--code <code>", "only those that failed with this code").choices(JobErrorCode.options);
}

function addKeyCommands(program: Command, finish: Finish): void {
  const keys = program.command("keys").description("API keys: once there is one, every caller needs one");
  keys
    .command("create")
    .description("make a key and print it, once")
    .requiredOption("--name <name>", "whose it is; unique")
    .option("--tenant <tenant>", "who owns its jobs; tenants see only their own", "default")
    .option("--scope <scope>", `one of ${SCOPES.join(", ")} (repeatable; all of them but admin if left out)`, collect)
    .option("--expires-days <n>", "how long it works", wholeNumber)
    .action(async (options: CreateKeyOptions) => finish(await createKey(options)));
  keys
    .command("list")
    .description("list the keys, without the keys themselves")
    .action(async () => finish(await listKeys()));
  keys
    .command("revoke")
    .description("make a key stop working")
    .argument("<name>")
    .action(async (name: string) => finish(await revokeKey(name)));
}
