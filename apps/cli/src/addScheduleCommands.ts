import { CatchUpPolicy, OverlapPolicy } from "@comfyq/contract";
import { type Command, Option } from "commander";
import type { ExitCode } from "./CliError.ts";
import {
  deleteSchedule,
  listSchedules,
  listTicks,
  pauseSchedule,
  putSchedule,
  runSchedule,
  type SchedulesOptions,
  showSchedule,
} from "./commands/schedules.ts";
import { collect, wholeNumber } from "./optionTypes.ts";
import type { ScheduleWish } from "./run/readScheduleBody.ts";

const JSON_FLAG = ["--json", "print the answer as JSON"] as const;

/** `comfyq schedules …` */
export function addScheduleCommands(program: Command, finish: (code: ExitCode) => void): void {
  const schedules = program.command("schedules").description("jobs that are made again and again, by the clock");
  const page = (command: Command) =>
    command
      .option("--limit <n>", "how many", wholeNumber, 20)
      .option("--cursor <cursor>", "go on from where the last list ended")
      .option(...JSON_FLAG);
  page(schedules.command("list").description("list schedules, by name")).action(async (options: SchedulesOptions) =>
    finish(await listSchedules(options)),
  );
  addPutCommand(schedules, finish);
  const named = (name: string, description: string) =>
    schedules.command(name).description(description).argument("<name>");
  named("show", "show a schedule and its next moments")
    .option(...JSON_FLAG)
    .action(async (name: string, options: SchedulesOptions) => finish(await showSchedule(name, options)));
  named("delete", "forget a schedule; jobs that it made go on").action(async (name: string) =>
    finish(await deleteSchedule(name)),
  );
  for (const wish of ["pause", "resume"] as const)
    named(wish, wish === "pause" ? "make no jobs until it is resumed" : "make jobs again, from the next moment on")
      .option(...JSON_FLAG)
      .action(async (name: string, options: SchedulesOptions) => finish(await pauseSchedule(name, wish, options)));
  named("run", "make its job now, out of turn")
    .option("--key <text>", "idempotency key: the same key again is the same job")
    .option(...JSON_FLAG)
    .action(async (name: string, options: SchedulesOptions) => finish(await runSchedule(name, options)));
  page(named("ticks", "list what came of its moments, newest first")).action(
    async (name: string, options: SchedulesOptions) => finish(await listTicks(name, options)),
  );
}

function addPutCommand(schedules: Command, finish: (code: ExitCode) => void): void {
  schedules
    .command("put")
    .description("make a schedule, or change it; the same again changes nothing")
    .argument("<name>")
    .argument("<file.json>", 'a workflow in API format, or a whole schedule as the API takes it; "-": standard input')
    .option("--cron <rule>", '"minute hour day month weekday", with a leading second if there are six')
    .option("--every <seconds>", "instead of --cron", wholeNumber)
    .option("--time-zone <name>", "of the cron rule, as Europe/Berlin; UTC if left out")
    .option("--start <moment>", "no moment before this one, as 2027-01-31T09:00:00Z")
    .option("--end <moment>", "no moment after this one")
    .option("--times <n>", "over after so many", wholeNumber)
    .option("--jitter <seconds>", "put each job off by up to so much", wholeNumber)
    .addOption(new Option("--overlap <policy>", "when its job before runs still").choices(OverlapPolicy.options))
    .addOption(new Option("--catch-up <policy>", "what of a downtime is made up for").choices(CatchUpPolicy.options))
    .option("-p, --param <path=value>", "write a value into the workflow (repeatable)", collect)
    .option("--pool <name>", "which workers may take its jobs")
    .option("--tag <tag>", "a word to find its jobs by (repeatable)", collect)
    .option(...JSON_FLAG)
    .action(async (name: string, file: string, options: ScheduleWish & SchedulesOptions) =>
      finish(await putSchedule(name, file, options)),
    );
}
