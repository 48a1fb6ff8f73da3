import { ComfyError, type ComfyErrorCode } from "@comfyq/comfyui";
import { expect, test } from "vitest";
import { toJobError } from "../src/attempt/toJobError.ts";

const refused = (code: ComfyErrorCode, refusal?: string) =>
  toJobError(new ComfyError(code, "x", { facts: { httpStatus: 402, ...(refusal && { refusal }) } })).code;

/** A node raised it while the prompt ran. */
const raised = (code: ComfyErrorCode, exception_type: string) =>
  toJobError(
    new ComfyError(code, "x", {
      facts: { failure: { node_id: "1", class_type: "N", exception_type, exception_message: "x", traceback: [] } },
    }),
  ).code;

test("a server that wants another key, credits or patience is to blame for no job", () => {
  for (const code of ["unauthorized", "payment_required", "rate_limited"] as const)
    expect(refused(code)).toBe("instance_refuses");
  expect(refused("rate_limited", "QUEUE_LIMIT")).toBe("instance_refuses");
  expect(raised("payment_required", "InsufficientFundsError")).toBe("instance_refuses");
  expect(raised("payment_required", "InactiveSubscriptionError")).toBe("instance_refuses");
});

test("a partner's node without credits, login or patience is the job's own affair, and not tried for ever", () => {
  expect(refused("payment_required", "PARTNER_NODE_PAYMENT_REQUIRED")).toBe("payment_required");
  expect(raised("payment_required", "Exception")).toBe("payment_required");
  expect(raised("unauthorized", "Exception")).toBe("payment_required");
  expect(raised("rate_limited", "Exception")).toBe("rate_limited");
});
