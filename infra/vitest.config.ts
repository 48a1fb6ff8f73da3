import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const root = new URL("..", import.meta.url).pathname;
const rooms = ["apps", "packages"].flatMap((floor) => readdirSync(root + floor).map((room) => ({ floor, room })));

/** One file for every room: the conditions are exact on purpose, see the comment. */
const shared = {
  // Vitest applies these to node_modules too: adding "module" or "import" breaks @aws-sdk and express.
  ssr: { resolve: { conditions: ["@comfyq/source", "node"] } },
};

export default defineConfig({
  root,
  test: {
    // Most files wait for processes of their own: two at once on two cores take half the time of one after the other.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      ...rooms.map(({ floor, room }) => ({
        ...shared,
        root: `${root}${floor}/${room}`,
        test: { name: `@comfyq/${room}`, include: ["test/**/*.test.ts"], testTimeout: 20_000, hookTimeout: 20_000 },
      })),
      { ...shared, root: `${root}infra`, test: { name: "infra", include: ["test/**/*.test.ts"], testTimeout: 20_000 } },
    ],
  },
});
