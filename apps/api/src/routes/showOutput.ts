import type { JobFacts, StoredThumbnail } from "@comfyq/contract";
import * as z from "zod";
import { ApiError, quoted } from "../errors.ts";
import { sendStored } from "../objects/sendStored.ts";
import { readOwnJob } from "../ownJob.ts";
import type { Rooms } from "../rooms.ts";
import { type DocumentedAnswer, type Route, route } from "../route.ts";
import { JobParams } from "./showJob.ts";

const Params = JobParams.extend({ name: z.string().meta({ description: "The output's name, as in the job" }) });
const Bytes: DocumentedAnswer["content"] = {
  "application/octet-stream": { schema: z.string().meta({ format: "binary" }) },
};

/** What reading bytes can answer; assets and links answer the same. */
export const BYTES_ANSWERS = {
  200: { description: "The bytes", content: Bytes },
  206: { description: "The bytes that Range asked for", content: Bytes },
  302: { description: "A fresh signed link to the bytes, when files are kept in S3" },
  304: { description: "You have these bytes already (If-None-Match)" },
  416: { description: "The file has no such bytes" },
} satisfies Record<number, DocumentedAnswer>;

export function showOutputRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/jobs/{id}/outputs/{name}",
    scope: "read",
    tag: "Jobs",
    summary: "Read one output",
    description: "A value is answered as JSON.",
    params: Params,
    answers: BYTES_ANSWERS,
    errors: ["not_found"],
    run: async (call) => {
      const job = await readOwnJob(rooms, call);
      const name = call.params["name"] ?? "";
      const output = job.outputs.find((one) => one.name === name) ?? thumbnailOf(job, name);
      if (!output) {
        const names = job.outputs.map((one) => one.name).join(", ");
        const has = names === "" ? `it has no outputs, and is ${job.status}` : `it has ${names}`;
        throw new ApiError("not_found", `The job has no output ${quoted(name)}; ${has}`);
      }
      if ("value" in output) return void call.res.json(output.value);
      const { key, content_type: contentType } = output;
      const sha256 = "sha256" in output ? output.sha256 : undefined;
      await sendStored(rooms, call, { key, name, contentType, sha256 });
    },
  });
}

function thumbnailOf({ outputs }: JobFacts, name: string): StoredThumbnail | undefined {
  return outputs.flatMap((output) => ("key" in output && output.thumbnail) || []).find((one) => one.name === name);
}
