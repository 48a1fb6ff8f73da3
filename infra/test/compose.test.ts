import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { parseCompose, readText, root, type Service, variablesOf } from "./composeFile.ts";

const text = readText("docker-compose.yml");
const compose = parseCompose(text, { REDIS_PASSWORD: "test-only" });
const services = Object.entries(compose.services);
const ours = services.filter(([, service]) => service.build !== undefined);
/** Not the command line: it comes and goes. */
const standing = services.filter(([, { profiles = [] }]) => !profiles.includes("tools"));

/** Not ours: what an image of somebody else needs, and is allowed, with the reason. */
const FOREIGN_IMAGE: Readonly<Record<string, string>> = {
  comfyui: "installs itself at its first start, with sudo, so it can be neither read-only nor without capabilities",
};

/** Environment names that no config.ts of ours reads: those of other images, and the usual AWS ones. */
const FOREIGN_ENV =
  /^(AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)|REDIS_PASSWORD|BASE_DIRECTORY|WANTED_[UG]ID|USE_UV|COMFY_CMDLINE_EXTRA)$/;

/** The compose-spec schema that dclint brings; its `$schema` names draft 7 by an https address that ajv does not know. */
function composeSchema(): object {
  const require = createRequire(import.meta.url);
  const dclint = dirname(require.resolve("dclint/package.json"));
  const { $schema: _, ...schema } = JSON.parse(readText(relative(root, `${dclint}/schemas/compose.schema.json`))) as {
    readonly $schema: string; // a JSON schema is an object; ajv checks the rest
  };
  return schema;
}

describe("docker-compose.yml", () => {
  test("it is valid by the compose specification's schema, which refuses a misspelt key", () => {
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(composeSchema());
    expect(validate(compose), JSON.stringify(validate.errors)).toBe(true);
    const misspelt = { services: { redis: { image: "redis:7", healthchek: { test: "true" } } } };
    expect(validate(misspelt)).toBe(false);
  });

  test("it asks for what it cannot guess, by name", () => {
    expect(() => parseCompose(text, {})).toThrow("REDIS_PASSWORD");
  });

  test("every service stays within limits, comes back after a fall, and is given time to stop", () => {
    for (const [name, service] of services) {
      const { cpus, memory, pids } = service.deploy?.resources?.limits ?? {};
      expect([cpus, memory, pids], name).not.toContain(undefined);
      expect(service.init, name).toBe(true);
      expect(service.stop_grace_period, name).toMatch(/^\d+[sm]$/);
    }
    for (const [name, service] of standing) expect(service.restart, name).toBe("unless-stopped");
  });

  test("every service says whether it is well", () => {
    const dockerfile = readText("infra/docker/Dockerfile");
    const stageHasHealthcheck = (target: string) =>
      (dockerfile.split(/^FROM /m).find((stage) => stage.includes(` AS ${target}\n`)) ?? "").includes("\nHEALTHCHECK ");
    const silent = standing.filter(
      ([, { healthcheck, build }]) => !healthcheck && !(build && stageHasHealthcheck(build.target)),
    );
    expect(silent).toEqual([]);
    expect(stageHasHealthcheck("runtime")).toBe(false);
  });

  test("every image has a version of its own", () => {
    for (const [name, { image }] of services) expect(image, name).toMatch(/^[\w./-]+:(?!latest$)[\w.-]*\d[\w.-]*$/);
  });

  test("what is not the network's business is closed: nothing is published but the API, on loopback", () => {
    expect(services.filter(([, service]) => service.ports).map(([name]) => name)).toEqual(["api"]);
    expect(compose.services["api"]?.ports).toEqual(["127.0.0.1:8190:8190"]);
    expect(compose.services["redis"]?.networks).toEqual(["inside"]);
    expect(compose.networks["inside"]).toEqual({ internal: true });
  });

  test("a service can change nothing but its volumes, and gains no rights", () => {
    const hardened = { read_only: true, cap_drop: ["ALL"], security_opt: ["no-new-privileges:true"] };
    for (const [name, service] of services) if (!(name in FOREIGN_IMAGE)) expect(service, name).toMatchObject(hardened);
    for (const name of Object.keys(FOREIGN_IMAGE)) expect(compose.services[name]).toBeDefined();
  });

  test("a worker is given longer to stop than it drains", () => {
    const workers = ours.filter(([, { build }]) => build?.target === "worker");
    expect(workers.map(([name]) => name)).toEqual(["worker", "worker-gpu", "worker-demo"]);
    for (const [name, service] of workers) {
      const drainSeconds = Number(service.environment?.["COMFYQ_DRAIN_S"]);
      expect(seconds(service.stop_grace_period), name).toBeGreaterThanOrEqual(drainSeconds + 60);
    }
  });

  test("every process of ours waits for a healthy Redis", () => {
    const processes = ours.filter(([name]) => !["simulator", "cli"].includes(name));
    for (const [name, { depends_on }] of processes)
      expect(depends_on, name).toEqual({ redis: { condition: "service_healthy" } });
  });

  test("every service builds a target that the Dockerfile has", () => {
    for (const [name, { build }] of ours) {
      expect(build, name).toMatchObject({ context: ".", dockerfile: "infra/docker/Dockerfile" });
      expect(readText("infra/docker/Dockerfile"), name).toContain(` AS ${build?.target}\n`);
    }
  });

  test("no secret stands in the file", () => {
    const secrets = services.flatMap(([, service]) => literalSecrets(service));
    expect(secrets).toEqual([]);
    expect(literalSecrets({ environment: { AWS_SECRET_ACCESS_KEY: "abc" } })).toEqual(["AWS_SECRET_ACCESS_KEY"]);
  });

  test("every setting it names is one that a process reads", () => {
    const names = services.flatMap(([, service]) => Object.keys(service.environment ?? {}));
    expect([...new Set(names)].filter((name) => !FOREIGN_ENV.test(name) && !isReadSomewhere(name))).toEqual([]);
    expect(isReadSomewhere("COMFYQ_NO_SUCH_SETTING")).toBe(false);
  });

  test("every setting that a process reads can be passed on, but for those that its image decides", () => {
    const fixed = /^COMFYQ_(HOST|PORT|DATA_DIR|HEALTH_HOST|HEALTH_PORT|PRINT_READY|WORKER_ID|ALLOW_UNSAFE_REDIS)$/;
    const settingsOf = (path: string) =>
      [...readText(path).matchAll(/^ {2}([A-Z][A-Z0-9_]+):/gm)].map((match) => match[1] ?? "");
    const shared = settingsOf("packages/runtime/src/sharedSettings.ts");
    const ofModels = settingsOf("packages/runtime/src/modelSettings.ts");
    expect(ofModels.length).toBeGreaterThan(0);
    for (const name of ["api", "dispatcher", "worker"]) {
      const read = [...shared, ...ofModels, ...settingsOf(`apps/${name}/src/config.ts`)];
      const passedOn = Object.keys(compose.services[name]?.environment ?? {});
      expect(read.length, name).toBeGreaterThan(shared.length);
      expect(
        read.filter((setting) => !fixed.test(setting) && !passedOn.includes(setting)),
        name,
      ).toEqual([]);
    }
  });

  test("everything that can be set stands in env.example, and nothing else does", () => {
    const offered = [...readText("infra/docker/env.example").matchAll(/^#?([A-Z][A-Z0-9_]+)=/gm)].map(
      (match) => match[1] ?? "",
    );
    expect(offered.toSorted()).toEqual([...variablesOf(text), "COMPOSE_PROFILES"].toSorted());
  });
});

function seconds(span = ""): number {
  return Number.parseInt(span, 10) * (span.endsWith("m") ? 60 : 1);
}

/** Names of secrets whose value is written out; the password that this test gave counts as one from outside. */
function literalSecrets({ environment = {} }: Service): readonly string[] {
  return Object.entries(environment)
    .filter(([name, value]) => /KEY|SECRET|PASSWORD|TOKEN/.test(name) && value !== null && value !== "test-only")
    .filter(([name]) => !name.endsWith("_FILE"))
    .map(([name]) => name);
}

function isReadSomewhere(name: string): boolean {
  const configs = readdirSync(join(root, "apps")).map((app) => `apps/${app}/src/config.ts`);
  const shared = ["packages/runtime/src/sharedSettings.ts", "packages/runtime/src/modelSettings.ts"];
  return [...shared, ...configs].some((path) => new RegExp(`\\b${name}\\b`).test(readText(path)));
}
