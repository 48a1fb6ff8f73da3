import { describe, expect, test } from "vitest";
import { createAddressRules, targetOf } from "../src/addressRules.ts";
import { LOCAL_LITERALS } from "./localAddresses.ts";

const setup = (...allowHosts: string[]) =>
  createAddressRules({ allowHosts, schemes: ["http:", "https:"], ports: [80, 443] });
const judge = (rules: ReturnType<typeof setup>, url: string) => rules.refuseUrl(new URL(url));
const judgeAnswer = (rules: ReturnType<typeof setup>, address: string, url = "http://some.example/") =>
  rules.refuseAddress(address, targetOf(new URL(url)));

test.each(LOCAL_LITERALS)("the literal %s is refused", (literal) => {
  expect(judge(setup(), `http://${literal}/`)).toMatchObject({ code: "address_refused" });
});

test.each([
  "93.184.215.14",
  "1.1.1.1",
  "[2606:4700:4700::1111]",
  "[::ffff:1.1.1.1]",
  "[64:ff9b::101:101]",
  "example.com",
  "a.nip.io",
])("the public %s may be tried", (host) => {
  expect(judge(setup(), `https://${host}/x`)).toBeUndefined();
});

test("a host is judged as the URL parser reads it, not as it looks", () => {
  for (const url of ["http://example.com\\.127.0.0.1/", "http://127.0.0.1\t.example.com/"]) {
    expect(judge(setup(), url)).toBeUndefined();
  }
  expect(new URL("http://example.com\\.127.0.0.1/").hostname).toBe("example.com");
});

test.each([
  "file:///etc/passwd",
  "gopher://x/",
  "ftp://x/",
  "data:,x",
  "dict://x/",
  "jar:http://x!/",
  "s3://bucket/key",
  "blob:http://x/y",
])("%s is not fetched", (url) => {
  expect(judge(setup(), url)).toMatchObject({ code: "bad_url", why: expect.stringContaining("scheme") });
});

test.each(["http://user@example.com/", "http://user:pass@example.com/", "http://:pass@example.com/"])(
  "%s is refused for its userinfo",
  (url) => {
    expect(judge(setup(), url)).toMatchObject({ code: "bad_url" });
  },
);

test.each(["http://example.com:22/", "https://example.com:6379/", "http://1.1.1.1:8080/"])(
  "%s is refused for its port",
  (url) => {
    expect(judge(setup(), url)).toMatchObject({ code: "address_refused", why: expect.stringContaining("port") });
  },
);

test.each([
  "127.0.0.1",
  "10.0.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "169.254.169.254",
  "100.64.0.1",
  "0.0.0.0",
  "255.255.255.255",
  "192.0.0.192",
  "198.18.0.1",
  "203.0.113.9",
  "224.0.0.1",
  "240.0.0.1",
  "::1",
  "::",
  "fe80::1%eth0",
  "fc00::1",
  "fd00:ec2::254",
  "fec0::1",
  "ff02::1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "::127.0.0.1",
  "::ffff:0:127.0.0.1",
  "64:ff9b::7f00:1",
  "64:ff9b::10.0.0.1",
  "64:ff9b:1::10.0.0.1",
  "2002:7f00:1::",
  "2001:0:1::1",
  "2001:db8::1",
  "4000::1",
  "2606:4700::5efe:10.0.0.1",
  "",
  "nonsense",
  "localhost",
])("the DNS answer %s is refused", (address) => {
  expect(judgeAnswer(setup(), address)).toMatchObject({ code: "address_refused" });
});

describe("what an operator opens", () => {
  test("by name and port is that name on that port, wherever it resolves", () => {
    const rules = setup("minio:9000");
    expect(judge(rules, "http://MINIO.:9000/")).toBeUndefined();
    expect(judgeAnswer(rules, "10.0.0.7", "http://MINIO.:9000/")).toBeUndefined();
    expect(judge(rules, "http://minio:9001/")).toBeDefined();
    expect(judgeAnswer(rules, "10.0.0.7", "http://minio/")).toBeDefined();
    expect(judgeAnswer(rules, "10.0.0.7", "http://other:9000/")).toBeDefined();
  });

  test("by name alone stays on the usual ports, and with :* is open on all", () => {
    expect(judgeAnswer(setup("minio"), "10.0.0.7", "http://minio/")).toBeUndefined();
    expect(judge(setup("minio"), "http://minio:9000/")).toBeDefined();
    expect(judgeAnswer(setup("minio:*"), "10.0.0.7", "http://minio:9000/")).toBeUndefined();
  });

  test("by name is never the metadata service", () => {
    for (const address of ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "::"]) {
      expect(judgeAnswer(setup("minio:*"), address, "http://minio/")).toBeDefined();
    }
  });

  test("by IP or CIDR is those addresses, for literals and for names that resolve to them", () => {
    const rules = setup("10.0.0.0/8:9000", "192.168.1.5", "[fd00::5]:8188", "fd11::/16");
    expect(judge(rules, "http://10.1.2.3:9000/")).toBeUndefined();
    expect(judge(rules, "http://[::ffff:10.1.2.3]:9000/")).toBeUndefined();
    expect(judge(rules, "http://some.example:9000/")).toBeUndefined(); // it may resolve into the net
    expect(judgeAnswer(rules, "10.1.2.3", "http://some.example:9000/")).toBeUndefined();
    expect(judgeAnswer(rules, "1.1.1.1", "http://some.example:9000/")).toBeDefined();
    expect(judge(rules, "http://10.1.2.3/")).toBeDefined();
    expect(judge(rules, "http://192.168.1.5/")).toBeUndefined();
    expect(judge(rules, "http://192.168.1.6/")).toBeDefined();
    expect(judge(rules, "http://[fd00::5]:8188/")).toBeUndefined();
    expect(judge(rules, "http://[fd11::9]/")).toBeUndefined();
  });

  test("must be readable, and all that is not is told", () => {
    const bad = ["http://minio", "a b", "minio:99999", "10.0.0.0/99", "[minio]:80", "10", "*", "", "1.2.3"];
    const told = bad.map((entry) => JSON.stringify(entry)).join(", ");
    expect(() => setup("minio", ...bad)).toThrow(`COMFYQ_ALLOW_HOSTS holds ${told};`);
  });
});
