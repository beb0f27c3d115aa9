import { SUPPORTED_PROTOCOL_VERSIONS } from "@modelcontextprotocol/sdk/types.js";
import { classifyInboundRequest } from "@modelcontextprotocol/server";
import { describe, expect, test } from "vitest";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { httpStatus } from "../../src/protocol/answers.ts";
import { requireParamHeaders } from "../../src/protocol/headers.ts";
import { type Message, readMessage } from "../../src/protocol/messages.ts";
import { ASSUMED_VERSION, LEGACY_VERSIONS, META, MODERN_VERSIONS } from "../../src/protocol/versions.ts";

type Headers = Readonly<Record<string, string>>;

const read = (body: Json, headers: Headers = {}): Message =>
  readMessage({ body, header: (name) => headers[name] });

function refusal(body: Json, headers: Headers = {}) {
  const message = read(body, headers);
  if (message.kind !== "refused") return message.kind;
  const { error, era } = message;
  return [httpStatus(error, era), error.row.rpc, error.code];
}

const META_2026 = { [META.protocolVersion]: "2026-07-28", [META.clientCapabilities]: {} };
const modernHeaders = (method: string, name?: string): Headers => ({
  "mcp-protocol-version": "2026-07-28",
  "mcp-method": method,
  ...(name !== undefined && { "mcp-name": name }),
});
const request = (method: string, params?: JsonObject): JsonObject => ({
  jsonrpc: "2.0",
  id: 1,
  method,
  ...(params && { params }),
});
const modern = (method: string, params: JsonObject = {}, meta: JsonObject = META_2026): JsonObject =>
  request(method, { ...params, _meta: meta });

describe("the envelope", () => {
  const D = [400, -32600, "request_invalid"];
  test.each<[string, Json]>([
    ["a batch", [request("ping")]],
    ["an empty batch", []],
    ["null", null],
    ["a string", "ping"],
    ["no jsonrpc", { id: 1, method: "ping" }],
    ["another jsonrpc", { jsonrpc: "1.0", id: 1, method: "ping" }],
    ["jsonrpc as a number", { jsonrpc: 2, id: 1, method: "ping" }],
    ["id null", { jsonrpc: "2.0", id: null, method: "ping" }],
    ["id an object", { jsonrpc: "2.0", id: {}, method: "ping" }],
    ["id a fraction", { jsonrpc: "2.0", id: 1.5, method: "ping" }],
    ["id a boolean", { jsonrpc: "2.0", id: true, method: "ping" }],
    ["id endless", { jsonrpc: "2.0", id: "a".repeat(257), method: "ping" }],
    ["params an array", { jsonrpc: "2.0", id: 1, method: "ping", params: [] }],
    ["params null", { jsonrpc: "2.0", id: 1, method: "ping", params: null }],
    ["a method that is no string", { jsonrpc: "2.0", id: 1, method: ["ping"] }],
    ["an unknown member", { jsonrpc: "2.0", id: 1, method: "ping", auth: "x" }],
    ["a case variant beside a member", { jsonrpc: "2.0", id: 1, method: "ping", Method: "tools/call" }],
    ["a request that is also a response", { jsonrpc: "2.0", id: 1, method: "ping", result: {} }],
    ["a response that is both", { jsonrpc: "2.0", id: 1, result: {}, error: {} }],
    ["a response without an id", { jsonrpc: "2.0", result: {} }],
    ["a response with an unknown member", { jsonrpc: "2.0", id: 1, result: {}, params: {} }],
    ["tools/call as a notification", { jsonrpc: "2.0", method: "tools/call", params: { name: "refund" } }],
    ["a notification as a request", request("notifications/initialized")],
  ])("%s is refused", (_, body) => {
    expect(refusal(body)).toEqual(D);
  });

  test("what is refused keeps the id and method it could be read to have", () => {
    expect(read({ jsonrpc: "2.0", id: 7, method: "ping", extra: 1 })).toMatchObject({
      id: 7,
      method: "ping",
    });
    expect(read({ jsonrpc: "2.0", id: 1.5, method: "x".repeat(500) })).toMatchObject({
      id: null,
      method: "x".repeat(128),
    });
  });

  test("a response to the server is read as one", () => {
    expect(read({ jsonrpc: "2.0", id: "s1", result: {} })).toMatchObject({
      kind: "response",
      id: "s1",
      era: "legacy",
    });
  });
});

describe("legacy", () => {
  test("a call is read whole", () => {
    const params = {
      name: "refund",
      arguments: { amount: 1 },
      _meta: { progressToken: "p", traceparent: "00-a" },
    };
    expect(read(request("tools/call", params), { "mcp-protocol-version": "2025-06-18" })).toMatchObject({
      kind: "request",
      era: "legacy",
      version: "2025-06-18",
      id: 1,
      method: "tools/call",
      name: "refund",
      progressToken: "p",
      params,
      clientInfo: null,
    });
  });

  test("initialize says who the client is", () => {
    const params = {
      protocolVersion: "2025-11-25",
      capabilities: { roots: {} },
      clientInfo: { name: "c", version: "1" },
    };
    expect(read(request("initialize", params))).toMatchObject({
      version: ASSUMED_VERSION,
      clientInfo: params.clientInfo,
      clientCapabilities: params.capabilities,
    });
  });

  test.each(["capabilities", "clientInfo"])("what a client says of itself is short: %s is kept", (member) => {
    const params = {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "c", version: "1" },
    };
    const saying = (length: number) =>
      request("initialize", { ...params, [member]: { x: "x".repeat(length) } });
    expect(read(saying(16_000))).toMatchObject({ kind: "request" });
    expect(refusal(saying(17_000))).toEqual([200, -32602, "params_invalid"]);
  });

  test("what is wrong with a method or its params is answered inside HTTP 200, as SDK servers do", () => {
    expect(refusal(request("prompts/delete"))).toEqual([200, -32601, "method_unknown"]);
    expect(refusal(request("tools/CALL"))).toEqual([200, -32601, "method_unknown"]);
    expect(refusal(request("server/discover"))).toEqual([200, -32601, "method_unknown"]);
    expect(refusal(request("__proto__"))).toEqual([200, -32601, "method_unknown"]);
    expect(refusal(request("tools/call"))).toEqual([200, -32602, "params_invalid"]);
    expect(refusal(request("tools/call", { name: "a", arguments: [] }))).toEqual([
      200,
      -32602,
      "params_invalid",
    ]);
    expect(refusal(request("tools/list", { cursor: 1 }))).toEqual([200, -32602, "params_invalid"]);
    expect(refusal(request("tools/list", { _meta: { progressToken: {} } }))).toEqual([
      200,
      -32602,
      "params_invalid",
    ]);
    expect(refusal(request("tools/list", { _meta: [] }))).toEqual([400, -32602, "params_invalid"]);
    expect(refusal(request("initialize", { protocolVersion: "2025-11-25" }))).toEqual([
      200,
      -32602,
      "params_invalid",
    ]);
  });

  test("an unknown version in the header is refused with those that are served", () => {
    const message = read(request("ping"), { "mcp-protocol-version": "2024-01-01" });
    expect(message).toMatchObject({
      kind: "refused",
      error: { code: "version_unsupported", data: { supported: LEGACY_VERSIONS } },
    });
  });

  test.each(["2099-01-01", "bogus"])(
    "a header of %s, which nobody knows, is told all that is served",
    (version) => {
      const message = read(request("ping"), { "mcp-protocol-version": version });
      const supported = [...MODERN_VERSIONS, ...LEGACY_VERSIONS];
      expect(message).toMatchObject({
        kind: "refused",
        error: { code: "version_unsupported", data: { supported, requested: version } },
      });
    },
  );

  test("headers need not repeat the body, but may not contradict it", () => {
    expect(refusal(request("tools/call", { name: "a" }), { "mcp-name": "b" })).toEqual([
      400,
      -32020,
      "header_mismatch",
    ]);
    expect(refusal(request("ping"), { "mcp-method": "tools/call" })).toEqual([
      400,
      -32020,
      "header_mismatch",
    ]);
  });

  test.each(["notifications/initialized", "notifications/roots/list_changed"])(
    "%s is a notification",
    (method) => {
      expect(read({ jsonrpc: "2.0", method })).toMatchObject({ kind: "notification", method });
    },
  );

  test("a notification that nobody knows, or that lacks what it needs, is refused", () => {
    expect(read({ jsonrpc: "2.0", method: "notifications/other" })).toMatchObject({ kind: "refused" });
    expect(read({ jsonrpc: "2.0", method: "notifications/cancelled", params: {} })).toMatchObject({
      kind: "refused",
    });
  });
});

describe("modern", () => {
  test("a call is read whole", () => {
    const info = { name: "c", version: "1" };
    const meta = { ...META_2026, [META.clientInfo]: info, progressToken: 3 };
    const body = modern("tools/call", { name: "refund", arguments: {} }, meta);
    expect(read(body, modernHeaders("tools/call", "refund"))).toMatchObject({
      kind: "request",
      era: "modern",
      version: "2026-07-28",
      name: "refund",
      progressToken: 3,
      clientInfo: info,
      clientCapabilities: {},
    });
  });

  test("a name outside ASCII travels as Base64", () => {
    const body = modern("tools/call", { name: "rückzahlung" });
    const encoded = `=?base64?${Buffer.from("rückzahlung").toString("base64")}?=`;
    expect(read(body, modernHeaders("tools/call", encoded))).toMatchObject({ kind: "request" });
    for (const wrong of [
      "=?base64?!?=",
      "=?base64?/w==?=",
      "=?base64?cg=?=",
      "=?base64?cg?=",
      "rückzahlung ",
    ]) {
      expect(refusal(body, modernHeaders("tools/call", wrong))).toEqual([400, -32020, "header_mismatch"]);
    }
  });

  test.each<[string, JsonObject, Headers, readonly [number, number, string]]>([
    [
      "no version header",
      modern("tools/list"),
      { "mcp-method": "tools/list" },
      [400, -32020, "header_mismatch"],
    ],
    [
      "no method header",
      modern("tools/list"),
      { "mcp-protocol-version": "2026-07-28" },
      [400, -32020, "header_mismatch"],
    ],
    [
      "another method in the header",
      modern("tools/list"),
      modernHeaders("tools/call"),
      [400, -32020, "header_mismatch"],
    ],
    [
      "no name header",
      modern("tools/call", { name: "a" }),
      modernHeaders("tools/call"),
      [400, -32020, "header_mismatch"],
    ],
    [
      "another name in the header",
      modern("tools/call", { name: "a" }),
      modernHeaders("tools/call", "A"),
      [400, -32020, "header_mismatch"],
    ],
    [
      "versions that disagree",
      modern("tools/list"),
      { ...modernHeaders("tools/list"), "mcp-protocol-version": "2025-11-25" },
      [400, -32020, "header_mismatch"],
    ],
    [
      "initialize under a modern header",
      request("initialize", {}),
      modernHeaders("initialize"),
      [400, -32020, "header_mismatch"],
    ],
    [
      "no _meta under a modern header",
      request("tools/list"),
      modernHeaders("tools/list"),
      [400, -32602, "params_invalid"],
    ],
    [
      "no client capabilities",
      modern("tools/list", {}, { [META.protocolVersion]: "2026-07-28" }),
      modernHeaders("tools/list"),
      [400, -32602, "params_invalid"],
    ],
    [
      "a client info that is no object",
      modern("tools/list", {}, { ...META_2026, [META.clientInfo]: "c" }),
      modernHeaders("tools/list"),
      [400, -32602, "params_invalid"],
    ],
    [
      "a version that is no string",
      modern("tools/list", {}, { ...META_2026, [META.protocolVersion]: 1 }),
      modernHeaders("tools/list"),
      [400, -32602, "params_invalid"],
    ],
    [
      "a version of the future",
      modern("tools/list", {}, { ...META_2026, [META.protocolVersion]: "2099-01-01" }),
      { ...modernHeaders("tools/list"), "mcp-protocol-version": "2099-01-01" },
      [400, -32022, "version_unsupported"],
    ],
    [
      "a legacy version in _meta",
      modern("tools/list", {}, { ...META_2026, [META.protocolVersion]: "2025-11-25" }),
      {},
      [400, -32022, "version_unsupported"],
    ],
    ["a legacy method", modern("ping"), modernHeaders("ping"), [404, -32601, "method_unknown"]],
    [
      "initialize",
      modern("initialize", { protocolVersion: "2026-07-28" }),
      modernHeaders("initialize"),
      [404, -32601, "method_unknown"],
    ],
    [
      "a method of the future",
      modern("tools/paint"),
      modernHeaders("tools/paint"),
      [404, -32601, "method_unknown"],
    ],
    [
      "a call without a name",
      modern("tools/call"),
      modernHeaders("tools/call"),
      [400, -32602, "params_invalid"],
    ],
  ])("%s is refused", (_, body, headers, want) => {
    expect(refusal(body, headers)).toEqual(want);
  });
});

test.each<[string, JsonObject, string]>([
  ["tools/call", {}, "name is missing: a string"],
  ["tools/call", { name: "a", arguments: [] }, "arguments must be an object"],
  ["prompts/get", { name: "a", arguments: { n: 1 } }, "arguments must be an object of strings"],
  ["logging/setLevel", { level: "loud" }, "level must be one of debug, info, notice,"],
])("what is wrong with the params of %s %j is said", (method, params, reason) => {
  const message = read(request(method, params));
  expect(message.kind === "refused" ? message.error.text : "").toContain(`Invalid params: ${reason}`);
});

test("all that _meta lacks is named at once", () => {
  const told = (meta?: JsonObject) => {
    const message = read(request("tools/list", meta && { _meta: meta }), modernHeaders("tools/list"));
    return message.kind === "refused" ? message.error.data : null;
  };
  expect(told()).toEqual({ missing: [META.protocolVersion, META.clientCapabilities] });
  expect(told({ [META.clientCapabilities]: {} })).toEqual({ missing: [META.protocolVersion] });
  expect(told({ [META.protocolVersion]: "2026-07-28" })).toEqual({ missing: [META.clientCapabilities] });
});

test("the era is the one that the SDK's servers would find", () => {
  const bodies = [
    request("ping"),
    request("tools/list"),
    modern("tools/list"),
    modern("tools/call", { name: "a" }),
    { jsonrpc: "2.0", method: "notifications/initialized" },
  ];
  const versions = [undefined, "2025-06-18", "2025-11-25", "2026-07-28"];
  for (const body of bodies) {
    for (const version of versions) {
      const method = String(body.method);
      const headers = {
        "mcp-method": method,
        "mcp-name": "a",
        ...(version && { "mcp-protocol-version": version }),
      };
      const sdk = classifyInboundRequest({
        httpMethod: "POST",
        body,
        ...(version && { protocolVersionHeader: version }),
        mcpMethodHeader: method,
      });
      const message = read(body, headers);
      if (sdk.kind === "reject")
        expect(message).toMatchObject({ kind: "refused", error: { row: { rpc: sdk.code } } });
      else if (message.kind !== "refused") expect(message.era).toBe(sdk.kind);
      else expect(["header_mismatch", "method_unknown"]).toContain(message.error.code);
    }
  }
});

test("the versions served are those of the SDK, less a draft that never became a revision", () => {
  expect([...LEGACY_VERSIONS, "2024-10-07"]).toEqual(SUPPORTED_PROTOCOL_VERSIONS);
  expect(MODERN_VERSIONS).toEqual(["2026-07-28"]);
});

describe("Mcp-Param-*", () => {
  const declared = [
    { name: "Region", path: ["region"] },
    { name: "Size", path: ["box", "size"] },
    { name: "Urgent", path: ["urgent"] },
    { name: "Builder", path: ["constructor"] },
  ];
  const check = (args: JsonObject, headers: Headers) => () =>
    requireParamHeaders(declared, args, (name) => headers[name]);
  const mismatch = expect.objectContaining({ code: "header_mismatch" });

  test("must say what the declared arguments say", () => {
    const headers = {
      "mcp-param-region": "=?base64?ZcO8?=",
      "mcp-param-size": "42.0",
      "mcp-param-urgent": "true",
    };
    expect(check({ region: "eü", box: { size: 42 }, urgent: true }, headers)).not.toThrow();
    expect(check({ region: "us" }, headers)).toThrow(mismatch);
    expect(check({ box: { size: 43 } }, headers)).toThrow(mismatch);
    expect(check({ urgent: false }, headers)).toThrow(mismatch);
    expect(check({ region: "eu" }, {})).toThrow(mismatch);
    expect(check({ region: "42" }, { "mcp-param-region": "42.0" })).toThrow(mismatch);
    expect(check({ region: "eu" }, { "mcp-param-region": "=?base64?*?=" })).toThrow(mismatch);
  });

  test("say nothing where the argument is absent or null, or not declared", () => {
    expect(check({ region: null }, { "mcp-param-region": "eu", "mcp-param-other": "x" })).not.toThrow();
    expect(check(JSON.parse('{"constructor":"crane"}'), {})).toThrow(mismatch);
  });
});

describe("what only some requests may bring", () => {
  const CALL = modernHeaders("tools/call", "refund");
  const resuming = { name: "refund", inputResponses: { a: { action: "accept" } }, requestState: "s" };
  const refused = [400, -32602, "params_invalid"];

  test("a modern call, read or get brings answers and the state they belong to", () => {
    expect(read(modern("tools/call", resuming), CALL)).toMatchObject({
      inputResponses: resuming.inputResponses,
      requestState: "s",
    });
    const got = modern("prompts/get", { ...resuming, name: "p" });
    expect(read(got, modernHeaders("prompts/get", "p"))).toMatchObject({ requestState: "s" });
    const uri = "a:b";
    expect(
      read(modern("resources/read", { uri, requestState: "s" }), modernHeaders("resources/read", uri)),
    ).toMatchObject({ requestState: "s" });
  });

  test("nothing else may: an upstream of the other era would take it for its own", () => {
    expect(refusal(modern("tools/list", { requestState: "s" }), modernHeaders("tools/list"))).toEqual(
      refused,
    );
    expect(
      refusal(modern("server/discover", { inputResponses: {} }), modernHeaders("server/discover")),
    ).toEqual(refused);
    expect(refusal(request("tools/call", resuming))).toEqual([200, -32602, "params_invalid"]);
    expect(refusal(request("tools/call", { name: "t", requestState: "s" }))).toEqual([
      200,
      -32602,
      "params_invalid",
    ]);
    expect(refusal(modern("tools/call", { name: "refund", task: {} }), CALL)).toEqual(refused);
    expect(refusal(request("prompts/get", { name: "p", task: {} }))).toEqual([200, -32602, "params_invalid"]);
  });

  test.each<[string, JsonObject]>([
    ["answers that are a list", { inputResponses: [] }],
    ["an answer that is no object", { inputResponses: { a: "yes" } }],
    ["an answer that is null", { inputResponses: { a: null } }],
    [
      "too many answers",
      { inputResponses: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, {}])) },
    ],
    ["an endless key", { inputResponses: { ["k".repeat(257)]: {} } }],
    ["a state that is no string", { requestState: {} }],
    ["an endless state", { requestState: "s".repeat(300_000) }],
  ])("%s is refused", (_, extra) => {
    expect(refusal(modern("tools/call", { name: "refund", ...extra }), CALL)).toEqual(refused);
  });

  test("a legacy call may ask for a task", () => {
    expect(read(request("tools/call", { name: "t", task: { ttl: 60_000 } }))).toMatchObject({
      task: { ttl: 60_000 },
    });
    for (const task of [[], "x", { ttl: -1 }, { ttl: "1" }])
      expect(refusal(request("tools/call", { name: "t", task }))).toEqual([200, -32602, "params_invalid"]);
  });

  test("a modern request says from which level on it wants log messages", () => {
    const meta = (level: Json) => ({ ...META_2026, [META.logLevel]: level });
    expect(read(modern("tools/call", { name: "refund" }, meta("warning")), CALL)).toMatchObject({
      logLevel: "warning",
    });
    expect(refusal(modern("tools/call", { name: "refund" }, meta("loud")), CALL)).toEqual(refused);
    expect(read(modern("tools/call", { name: "refund" }), CALL)).toMatchObject({ logLevel: undefined });
  });

  test("a task is named like a target: the header must agree", () => {
    const get = modern("tasks/get", { taskId: "t1" });
    expect(read(get, modernHeaders("tasks/get", "t1"))).toMatchObject({ name: "t1" });
    expect(refusal(get, modernHeaders("tasks/get", "t2"))).toEqual([400, -32020, "header_mismatch"]);
    const update = modern("tasks/update", { taskId: "t1", inputResponses: { a: {} } });
    expect(read(update, modernHeaders("tasks/update", "t1"))).toMatchObject({ inputResponses: { a: {} } });
  });

  test("a client's answer to a question keeps every member of it", () => {
    const result = { action: "accept", content: { n: 1e21, s: "ü" }, _meta: { x: [1] } };
    expect(read({ jsonrpc: "2.0", id: "n.1", result })).toMatchObject({
      answer: { kind: "result", text: JSON.stringify(result) },
    });
    expect(read({ jsonrpc: "2.0", id: "n.1", error: { code: -1, message: "no" } })).toMatchObject({
      answer: { kind: "error", text: '{"code":-1,"message":"no"}' },
    });
  });
});

describe("params of every method", () => {
  const shapeless = [200, -32602, "params_invalid"];
  test.each<[string, JsonObject]>([
    ["resources/read", {}],
    ["resources/read", { uri: 1 }],
    ["resources/subscribe", { uri: null }],
    ["resources/unsubscribe", {}],
    ["prompts/get", { name: "p", arguments: { a: 1 } }],
    ["prompts/get", { name: "p", arguments: [] }],
    ["prompts/list", { cursor: 1 }],
    ["completion/complete", { ref: { type: "ref/prompt", name: "p" } }],
    ["completion/complete", { ref: { type: "ref/tool", name: "p" }, argument: { name: "a", value: "" } }],
    ["completion/complete", { ref: { type: "ref/resource", name: "p" }, argument: { name: "a", value: "" } }],
    ["completion/complete", { ref: { type: "ref/prompt", name: "p" }, argument: { name: "a", value: 1 } }],
    [
      "completion/complete",
      {
        ref: { type: "ref/prompt", name: "p" },
        argument: { name: "a", value: "" },
        context: { arguments: { b: 1 } },
      },
    ],
    ["logging/setLevel", { level: "loud" }],
    ["tasks/get", {}],
    ["tasks/cancel", { taskId: 1 }],
    ["tasks/result", { taskId: null }],
  ])("%s %j is refused", (method, params) => {
    expect(refusal(request(method, params))).toEqual(shapeless);
  });

  test.each<[string, JsonObject]>([
    ["resources/read", { uri: "a:b" }],
    ["prompts/get", { name: "p", arguments: { a: "1" } }],
    [
      "completion/complete",
      {
        ref: { type: "ref/resource", uri: "a:{b}" },
        argument: { name: "b", value: "" },
        context: { arguments: { c: "d" } },
      },
    ],
    ["logging/setLevel", { level: "emergency" }],
    ["tasks/list", {}],
  ])("%s %j is read", (method, params) => {
    expect(read(request(method, params))).toMatchObject({ kind: "request", method, params });
  });

  test.each<[string, Json]>([
    ["no filter", []],
    ["a flag that is no boolean", { toolsListChanged: 1 }],
    ["a URI that is none", { resourceSubscriptions: [1] }],
    ["a URI for a list", { resourceSubscriptions: "a:b" }],
    ["more URIs than anybody reads", { resourceSubscriptions: Array.from({ length: 101 }, () => "a:b") }],
  ])("a listen request with %s is refused", (_, notifications) => {
    const body = modern("subscriptions/listen", { notifications });
    expect(refusal(body, modernHeaders("subscriptions/listen"))).toEqual([400, -32602, "params_invalid"]);
  });
});
