import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { ExpressAdapter } from "@bull-board/express";
import { type RequestHandler, Router } from "express";
import { isCrossOrigin } from "../auth/loopback.ts";
import { cachedFor } from "../cachedFor.ts";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import { createOperatorDoor, type OperatorDoor } from "./operatorDoor.ts";
import { redactAnswer } from "./redact.ts";

const BOARD_PATH = "/admin/queues";
/** A new pool is seen within this time. */
const QUEUES_EVERY_MS = 2_000;

/** What an operator may do to the queues of jobs and settlements by hand. All else would go around submit, cancel and settle. */
const SAFE_CHANGES = /^\/api\/queues\/(?::queueName\/)?(?:pause|resume)$/;

/** They write a payload back as the page shows it: redacted. What a delivery needs would be gone. */
const WRITES_PAYLOAD = /\/(?:add|update-data)$/;

type Mode = "look" | "operate";

/**
 * Bull Board at /admin/queues, twice: one board to look, one that also changes things, for whoever shows an operator's key.
 * /admin/unlock makes a browser ask for the key.
 */
export async function mountBoard(rooms: Rooms): Promise<Router> {
  const door = createOperatorDoor(rooms);
  const looking = await createBoard(rooms, "look");
  const operating = await createBoard(rooms, "operate");
  const router = Router();
  router.get("/admin/unlock", (req, res) => {
    if (!door.isOperator(req)) throw door.challenge("Show the operator key as the password; any user name will do");
    res.redirect(BOARD_PATH);
  });
  // Without the slash every relative address of the page would be one level too high.
  router.get(BOARD_PATH, (req, res, next) =>
    req.originalUrl.split("?")[0]?.endsWith("/") ? next() : res.redirect(`${BOARD_PATH}/`),
  );
  router.use(BOARD_PATH, guard(rooms, door), async (req, res, next) => {
    const board = door.isOperator(req) ? operating : looking;
    await board.refresh();
    board.serve(req, res, next);
  });
  return router;
}

function guard({ keys }: Rooms, door: OperatorDoor): RequestHandler {
  return async (req, _res, next) => {
    await keys.refresh();
    const isOperator = door.isOperator(req);
    if (!isOperator && keys.isRequired())
      throw door.challenge("Bull Board is for operators; show the operator key as the password");
    if (req.method === "GET" || req.method === "HEAD") return next();
    if (!isOperator)
      throw new ApiError("forbidden", "Bull Board is read-only without the operator key; open /admin/unlock first");
    // The browser sends the password by itself, so another page could use it.
    if (isCrossOrigin(req))
      throw new ApiError("forbidden", "This change was sent by a page of another origin and was not made");
    next();
  };
}

interface Board {
  readonly serve: RequestHandler;
  /** Shows queues that came since. */
  refresh(): Promise<void>;
}

async function createBoard({ producer }: Rooms, mode: Mode): Promise<Board> {
  const serverAdapter = new ExpressAdapter();
  serverAdapter.setBasePath(BOARD_PATH);
  const adapters = async () => (await producer.boardQueues()).map((queue) => adapterFor(queue, mode));
  const board = createBullBoard({
    queues: await adapters(),
    serverAdapter,
    options: {
      uiConfig: {
        boardTitle: mode === "look" ? "comfyq (read-only)" : "comfyq",
        hideDocsLink: true,
        hideRedisDetails: true,
      },
      handlerHooks: {
        before: ({ method, route, request }) => refuseUnsafe(method, route, String(request.params["queueName"] ?? "")),
        // Not the adapters' formatters: they miss flows, schedulers and reasons.
        after: (_context, result) => ({ ...result, body: redactAnswer(result.body) as Record<string, unknown> }), // an object stays one
      },
    },
  });
  const refresh = cachedFor(QUEUES_EVERY_MS, async () => board.replaceQueues(await adapters()));
  const app: RequestHandler = serverAdapter.getRouter();
  return { serve: app, refresh };
}

type Queue = Awaited<ReturnType<Rooms["producer"]["boardQueues"]>>[number];

function adapterFor(queue: Queue, mode: Mode): BullMQAdapter {
  const isOurs = holdsJobs(queue.name);
  return new BullMQAdapter(queue, {
    readOnlyMode: mode === "look",
    allowRetries: !isOurs,
    externalJobUrl: (job) => ({
      displayText: "Job",
      href: `/v1/jobs/${(job.data as { jobId?: string }).jobId ?? job.id}`,
    }), // our envelopes
  });
}

function holdsJobs(queueName: string): boolean {
  return queueName.startsWith("jobs-") || queueName === "settlements";
}

const PAYLOADS_ARE_HIDDEN =
  "Payloads are shown here without what is secret, and would be saved so; change them through the API, and see /docs";

function refuseUnsafe(method: string, route: string, queueName: string) {
  if (method === "get" || SAFE_CHANGES.test(route)) return { allow: true };
  const isErrand = queueName !== "" && !holdsJobs(queueName);
  if (isErrand && !WRITES_PAYLOAD.test(route)) return { allow: true };
  if (isErrand) return { allow: false, status: 403 as const, message: PAYLOADS_ARE_HIDDEN };
  const message =
    "Jobs are changed through the API: POST /v1/jobs/{id}/cancel and /retry keep records and files in step";
  return { allow: false, status: 403 as const, message };
}
