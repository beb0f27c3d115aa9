import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createHostOriginChecks } from "../../src/http/host-origin.ts";
import { createEdge, type Running, WAYS } from "./edge.ts";
import { BODY, type RawRequest, request, send } from "./raw.ts";

type Case = readonly [title: string, request: RawRequest, status: number, code: string];

const repeated = (name: string, value: string): RawRequest => ({
  headers: [
    [name, value],
    [name.toLowerCase(), value],
  ],
});

const REFUSED: readonly Case[] = [
  ["an unknown virtual server", { target: "/mcp/other" }, 404, "not_found_path"],
  ["Host repeated", repeated("Host", "mcp.example"), 400, "header_repeated"],
  ["Authorization repeated", repeated("Authorization", "Bearer token"), 400, "header_repeated"],
  ["Content-Type repeated", repeated("Content-Type", "application/json"), 400, "header_repeated"],
  ["Content-Encoding repeated", repeated("Content-Encoding", "identity"), 400, "header_repeated"],
  ["Expect repeated", repeated("Expect", "100-continue"), 400, "header_repeated"],
  ["Origin repeated", repeated("Origin", "https://app.example"), 400, "header_repeated"],
  ["Mcp-Name repeated", repeated("Mcp-Name", "refund"), 400, "header_repeated"],
  ["Mcp-Session-Id repeated", repeated("Mcp-Session-Id", "a"), 400, "header_repeated"],
  ["Mcp-Param-* repeated", repeated("Mcp-Param-Region", "eu"), 400, "header_repeated"],
  ["MCP-Protocol-Version repeated", repeated("MCP-Protocol-Version", "2026-07-28"), 400, "header_repeated"],
  [
    "too many headers",
    { headers: Array.from({ length: 201 }, (_, i) => [`X-${i}`, "a"] as const) },
    400,
    "header_malformed",
  ],
  [
    "Transfer-Encoding: gzip, chunked",
    {
      headers: [
        ["Transfer-Encoding", "gzip, chunked"],
        ["Content-Length", null],
      ],
      body: "0\r\n\r\n",
    },
    400,
    "transfer_encoding_refused",
  ],
  ["a rebinding Host", { headers: [["Host", "evil.example"]] }, 403, "host_refused"],
  ["a Host with our name inside", { headers: [["Host", "mcp.example.evil.example"]] }, 403, "host_refused"],
  ["our Host on another port", { headers: [["Host", "mcp.example:81"]] }, 403, "host_refused"],
  ["loopback on another port", { headers: [["Host", "127.0.0.1:1"]] }, 403, "host_refused"],
  ["loopback written in hex", { headers: [["Host", "0x7f.1"]] }, 403, "host_refused"],
  [
    "loopback written in full width",
    { headers: [["Host", "\uff11\uff12\uff17.0.0.1"]] },
    403,
    "host_refused",
  ],
  [
    "X-Forwarded-Host does not stand in for Host",
    {
      headers: [
        ["Host", "evil.example"],
        ["X-Forwarded-Host", "mcp.example"],
      ],
    },
    403,
    "host_refused",
  ],
  ["a foreign Origin", { headers: [["Origin", "https://evil.example"]] }, 403, "origin_refused"],
  ["Origin: null", { headers: [["Origin", "null"]] }, 403, "origin_refused"],
  ["an empty Origin", { headers: [["Origin", ""]] }, 403, "origin_refused"],
  [
    "an Origin with ours as prefix",
    { headers: [["Origin", "https://app.example.evil.example"]] },
    403,
    "origin_refused",
  ],
  [
    "an Origin with ours as suffix",
    { headers: [["Origin", "https://evil-app.example"]] },
    403,
    "origin_refused",
  ],
  ["our Origin over http", { headers: [["Origin", "http://app.example"]] }, 403, "origin_refused"],
  ["our Origin on another port", { headers: [["Origin", "https://app.example:444"]] }, 403, "origin_refused"],
  [
    "a preflight from a foreign Origin",
    {
      method: "OPTIONS",
      headers: [
        ["Origin", "https://evil.example"],
        ["Access-Control-Request-Method", "POST"],
      ],
      body: "",
    },
    403,
    "origin_refused",
  ],
  ["OPTIONS that is no preflight", { method: "OPTIONS", body: "" }, 405, "method_not_allowed"],
  ["PUT", { method: "PUT" }, 405, "method_not_allowed"],
  ["HEAD", { method: "HEAD", body: "" }, 405, ""],
  [
    "a method override is not heard",
    { method: "PATCH", headers: [["X-HTTP-Method-Override", "POST"]] },
    405,
    "method_not_allowed",
  ],
  ["a token in the query", { target: "/mcp/support?access_token=abc" }, 400, "token_in_query"],
  ["a token in the query, escaped", { target: "/mcp/support?a=1&access%5Ftoken=abc" }, 400, "token_in_query"],
  ["a token in the query, by another name", { target: "/mcp/support?Token=abc" }, 400, "token_in_query"],
  ["no Content-Type", { headers: [["Content-Type", null]] }, 415, "content_type_refused"],
  ["text/plain", { headers: [["Content-Type", "text/plain"]] }, 415, "content_type_refused"],
  [
    "a form",
    { headers: [["Content-Type", "application/x-www-form-urlencoded"]] },
    415,
    "content_type_refused",
  ],
  [
    "UTF-16",
    { headers: [["Content-Type", "application/json; charset=utf-16"]] },
    415,
    "content_type_refused",
  ],
  [
    "two charsets",
    { headers: [["Content-Type", "application/json; charset=utf-8; charset=utf-16"]] },
    415,
    "content_type_refused",
  ],
  ["a JSON-like type", { headers: [["Content-Type", "application/json-seq"]] }, 415, "content_type_refused"],
  ["a compressed body", { headers: [["Content-Encoding", "gzip"]] }, 415, "content_type_refused"],
  ["JSON alone accepted", { headers: [["Accept", "application/json"]] }, 406, "not_acceptable"],
  ["HTML alone accepted", { headers: [["Accept", "text/html"]] }, 406, "not_acceptable"],
  [
    "GET that accepts no stream",
    { method: "GET", headers: [["Accept", "application/json"]], body: "" },
    406,
    "not_acceptable",
  ],
  ["a body past the limit", { body: `"${"a".repeat(10_000)}"` }, 413, "body_too_large"],
  [
    "a chunked body past the limit",
    {
      headers: [
        ["Transfer-Encoding", "chunked"],
        ["Content-Length", null],
      ],
      body: `2711\r\n${"1".repeat(10_001)}\r\n0\r\n\r\n`,
    },
    413,
    "body_too_large",
  ],
  ["an empty body", { body: "" }, 400, "json_invalid"],
  ["a body that is not JSON", { body: "{" }, 400, "json_invalid"],
  ["invalid UTF-8", { body: Buffer.from([0x22, 0xff, 0x22]) }, 400, "json_invalid"],
  [
    "a repeated key",
    { body: '{"jsonrpc":"2.0","id":1,"method":"ping","m\\u0065thod":"tools/call"}' },
    400,
    "json_refused",
  ],
  ["nesting past the limit", { body: "[".repeat(65) + "]".repeat(65) }, 400, "json_refused"],
];

describe.each(Object.entries(WAYS))("%s", (_, start) => {
  const edge = createEdge();
  let running: Running;
  beforeAll(async () => {
    running = await start(edge);
  });
  afterAll(() => running.close());
  beforeEach(() => {
    edge.handled.length = 0;
    edge.refused.length = 0;
  });

  const ask = ({ target = "/mcp/support", ...rest }: RawRequest) =>
    send(running.port, request(running.port, { target: running.prefix + target, ...rest }));

  test.each(REFUSED)(
    "%s: refused, recorded once, and nothing reaches the gate",
    async (_, raw, status, code) => {
      const answer = await ask(raw);
      expect(answer.status).toBe(status);
      expect(answer.headers.get("cache-control")).toBe("no-store");
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      if (code !== "") {
        expect(answer.json).toMatchObject({
          jsonrpc: "2.0",
          id: null,
          error: { code: expect.any(Number), message: expect.any(String), data: { code } },
        });
      }
      expect(edge.handled).toEqual([]);
      expect(edge.refused).toHaveLength(1);
      expect(edge.refused[0]).toMatchObject({ clientIp: "127.0.0.1" });
      if (code !== "") expect(edge.refused[0]?.code).toBe(code);
    },
  );

  test("a name that was rebound to this machine is refused, also with the port that it came by", async () => {
    const answer = await ask({ headers: [["Host", `evil.example:${running.port}`]] });
    expect(answer.json?.error?.data?.code).toBe("host_refused");
    expect(edge.handled).toEqual([]);
  });

  test("405 says which methods there are", async () => {
    expect((await ask({ method: "PUT" })).headers.get("allow")).toBe("POST, GET, DELETE");
  });

  test("406 says what to accept, of a GET the stream alone", async () => {
    const accept = async (method: string) =>
      (await ask({ method, headers: [["Accept", "text/html"]], body: method === "GET" ? "" : "{}" })).json;
    expect(await accept("GET")).toMatchObject({ error: { message: "Accept text/event-stream." } });
    expect(await accept("POST")).toMatchObject({
      error: { message: "Accept both application/json and text/event-stream." },
    });
  });

  const ALIASES = [
    "/MCP/support",
    "/mcp/support/",
    "/mcp//support",
    "/mcp/./support",
    "/mcp/x/../support",
    "/mcp/../mcp/support",
    "/mcp/%73upport",
    "/mcp/support%2f",
    "/mcp/%2e%2e/mcp/support",
    "/mcp/support;x",
    "/mcp;x/support",
    "/mcp/support#x",
    "/mcp/support%00",
    "/mcp/support%zz",
    "/mcp/Support",
    "/mcp/support\\",
    "/mcp",
    "/mcp/",
    `/mcp/${"a".repeat(65)}`,
  ];
  test.each(ALIASES)("%s is not another name of /mcp/support", async (target) => {
    const answer = await ask({ target });
    expect(answer.status).toBe(404);
    expect(edge.handled).toEqual([]);
  });

  test.each(["//mcp/support", "http://evil.example/mcp/support", "http://mcp.example/mcp/support", "*"])(
    "the target %s is not served",
    async (target) => {
      const answer = await send(running.port, request(running.port, { target }));
      expect(answer.status).toBe(404);
      expect(edge.handled).toEqual([]);
    },
  );

  test.each<[string, RawRequest]>([
    ["a plain POST", {}],
    ["a query without a token", { target: "/mcp/support?x=1" }],
    ["the public host", { headers: [["Host", "MCP.example"]] }],
    ["the public host with its default port", { headers: [["Host", "mcp.example:443"]] }],
    ["an allowed host", { headers: [["Host", "gateway.internal:8080"]] }],
    ["an allowed origin", { headers: [["Origin", "https://app.example"]] }],
    ["its own origin", { headers: [["Origin", "https://mcp.example"]] }],
    ["charset=utf-8", { headers: [["Content-Type", 'application/json; charset="UTF-8"']] }],
    ["identity encoding", { headers: [["Content-Encoding", "identity"]] }],
    ["any answer accepted", { headers: [["Accept", "*/*"]] }],
    ["no Accept", { headers: [["Accept", null]] }],
    ["both accepted, with weights", { headers: [["Accept", "text/event-stream;q=0.5, application/*"]] }],
    [
      "chunked",
      {
        headers: [
          ["Transfer-Encoding", "Chunked"],
          ["Content-Length", null],
        ],
        body: `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`,
      },
    ],
    ["Expect: 100-continue", { headers: [["Expect", "100-continue"]] }],
    ["a body at the limit", { body: `"${"a".repeat(9_998)}"` }],
    [
      "GET",
      {
        method: "GET",
        headers: [
          ["Accept", "text/event-stream"],
          ["Content-Type", null],
        ],
        body: "",
      },
    ],
    ["DELETE", { method: "DELETE", headers: [["Content-Type", null]], body: "" }],
  ])("%s reaches the gate once", async (_, raw) => {
    const answer = await ask(raw);
    expect(answer.status).toBe(200);
    expect(edge.refused).toEqual([]);
    expect(edge.handled).toHaveLength(1);
  });

  test("the gate sees the virtual server, the caller and single headers; forwarded ones change nothing", async () => {
    await ask({
      headers: [
        ["Mcp-Name", "refund"],
        ["Mcp_Name", "hidden"],
        ["X-Forwarded-For", "9.9.9.9"],
      ],
    });
    const [exchange] = edge.handled;
    expect(exchange).toMatchObject({
      server: "support",
      verb: "POST",
      clientIp: "127.0.0.1",
      body: { id: 1 },
    });
    expect(exchange?.header("mcp-name")).toBe("refund");
    expect(exchange?.header("authorization")).toBe("Bearer token");
    expect(exchange?.header("mcp-session-id")).toBeUndefined();
    const { header } = exchange ?? {};
    expect(header?.("mcp-name")).toBe("refund");
  });

  test("an allowed origin may read answers, and a preflight says so", async () => {
    const origin = ["Origin", "https://app.example"] as const;
    const answer = await ask({ headers: [origin] });
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://app.example");
    expect(answer.headers.get("vary")).toBe("Origin");
    const preflight = await ask({
      method: "OPTIONS",
      headers: [
        origin,
        ["Access-Control-Request-Method", "POST"],
        ["Access-Control-Request-Headers", "authorization"],
      ],
      body: "",
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization");
    expect(edge.handled).toHaveLength(1);
    expect(edge.refused).toEqual([]);
  });
});

test("a loopback name is good for a connection over loopback alone", () => {
  const { checkHost } = createHostOriginChecks({
    publicUrl: "https://mcp.example",
    allowedHosts: [],
    allowedOrigins: [],
  });
  const check = (localAddress: string) => () =>
    checkHost({ headers: { host: "127.0.0.1:8080" }, socket: { localAddress, localPort: 8080 } } as never);
  expect(check("::ffff:127.0.0.1")).not.toThrow();
  expect(check("10.1.2.3")).toThrow(/host_refused/);
});
