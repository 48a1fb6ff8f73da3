import type { PromptOrigin } from "@comfyq/contract";
import { monotonicMs } from "./clock.ts";
import { encodeNotice, type PromptNotice } from "./promptNotices.ts";
import type { QueueRoom } from "./room.ts";

/** Messages that Redis has not taken yet: beyond these, what is only of the moment is left out, and then the rest. */
const MOST_PENDING = { moment: 32, lasting: 1_024 } as const;
/** When nobody listened, nothing that is only of the moment is sent for so long. */
const REST_MS = 1_000;

/** Shows a prompt's frames to the websockets of its client. Never throws, never waits. */
export interface PromptRelay {
  /** @param kind `moment`: a preview or a step, which may be missed; `lasting`: anything else */
  frame(frame: string | Uint8Array, kind: keyof typeof MOST_PENDING): void;
  /** ComfyUI begins with the prompt. */
  started(): void;
}

interface RelayedJob {
  readonly jobId: string;
  readonly tenant: string;
  readonly prompt: PromptOrigin;
}

export function openRelay({ redis, names }: QueueRoom, { jobId, tenant, prompt }: RelayedJob): PromptRelay {
  const { client_id: clientId } = prompt;
  const frames = clientId === null ? names.prompts(tenant) : names.frames(tenant, clientId);
  let pending = 0;
  let restUntilMs = 0;
  const publish = async (channel: string, notice: PromptNotice): Promise<void> => {
    pending += 1;
    try {
      const listeners = await redis.publish(channel, encodeNotice(notice));
      if (channel === frames && listeners === 0) restUntilMs = monotonicMs() + REST_MS;
    } catch {
      // Redis is away: who listens asks again when it is back
    } finally {
      pending -= 1;
    }
  };
  return {
    frame: (frame, kind) => {
      if (pending >= MOST_PENDING[kind] || (kind === "moment" && monotonicMs() < restUntilMs)) return;
      void publish(frames, { kind: "frame", jobId, frame });
    },
    started: () => void publish(names.prompts(tenant), { kind: "started", jobId }),
  };
}
