import { expect, test } from "vitest";
import { COMFYQ_NAMESPACE, uuidV5 } from "../src/index.ts";

test("uuidV5 gives the id that RFC 9562 gives", () => {
  const dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  expect(uuidV5("www.example.com", dns)).toBe("2ed6657d-e927-568b-95e1-2665a8aea6a2"); // RFC 9562 A.4
  expect(uuidV5("www.example.com", dns.toUpperCase())).toBe("2ed6657d-e927-568b-95e1-2665a8aea6a2");
  expect(() => uuidV5("x", "no uuid")).toThrow(TypeError);
});

test("ids derived in our namespace never change", () => {
  expect(uuidV5("job:1", COMFYQ_NAMESPACE)).toBe("e04e29cb-7c24-5313-9574-bffa70ef32b2");
});
