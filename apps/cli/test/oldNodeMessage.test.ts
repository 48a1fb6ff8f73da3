import { expect, test } from "vitest";
import { oldNodeMessage } from "../src/oldNodeMessage.ts";

test("a Node too old to load comfyq is told so, and what to run instead", () => {
  for (const old of ["v18.20.8", "v20.20.2", "v22.18.0"])
    expect(oldNodeMessage(old)).toMatch(
      new RegExp(`^comfyq needs Node 22.19 or newer; this is ${old}\\.\\n.*npm run -s comfyq`),
    );
  for (const fit of ["v22.19.0", "v24.1.0", "v26.0.0-nightly"]) expect(oldNodeMessage(fit)).toBeUndefined();
});
