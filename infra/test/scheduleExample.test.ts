import { expect, test } from "vitest";
import { NewSchedule } from "../../packages/contract/src/index.ts";
import { readText } from "./composeFile.ts";

test("the schedule that the page shows is one that the API takes", () => {
  const [, body = "{}"] = /-d '(\{.*?\n\})'/s.exec(readText("infra/docs/schedules.md")) ?? [];
  expect(NewSchedule.parse(JSON.parse(body))).toMatchObject({ cron: "30 2 * * MON-FRI", overlap: "skip" });
});
