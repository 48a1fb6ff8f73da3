import type { Proof } from "./signature.ts";
import type { Target } from "./target.ts";
import type { World } from "./world.ts";

/** One request that may be carried out. */
export interface Call {
  readonly world: World;
  readonly target: Target;
  readonly proof: Proof;
  /** The body as it comes from the wire, aws-chunked or not. */
  readonly wire: AsyncIterable<Buffer>;
}

/** What a request is answered with. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | OutgoingBody;
}

export interface OutgoingBody {
  readonly sizeBytes: number;
  readonly chunks: AsyncIterable<Buffer>;
}

export type Operation = (call: Call) => Promise<Answer>;

/** An answer that is one XML document. */
export function xmlAnswer(xml: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: 200, headers: { ...headers, "content-type": "application/xml" }, body: xml };
}
