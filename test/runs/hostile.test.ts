import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { describe, expect, test } from "vitest";
import type { Target } from "../../src/domain.ts";
import type { Json } from "../../src/lib/json.ts";
import { good } from "../identity/issuer.ts";
import { aReplica, audience, EPOCH, own, type Replica, RUNS_URL } from "./world.ts";

const part = (value: Json) => Buffer.from(JSON.stringify(value)).toString("base64url");
const HEADER = { alg: "HS256", typ: "portcullis-run+jwt" };

function payloadOf(token: string): { readonly [key: string]: Json } {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
}

describe("a forged run token is refused", () => {
  const forgeries: readonly (readonly [
    string,
    (token: string, gate: Replica) => string | Promise<string>,
  ])[] = [
    [
      "with another payload",
      (t) => [part(HEADER), part({ ...payloadOf(t), sub: "bob" }), t.split(".")[2]].join("."),
    ],
    [
      "with a longer life",
      (t) => [part(HEADER), part({ ...payloadOf(t), exp: EPOCH + 9e6 }), t.split(".")[2]].join("."),
    ],
    ["without a signature", (t) => `${t.split(".").slice(0, 2).join(".")}.`],
    ["with alg none", (t) => `${part({ ...HEADER, alg: "none" })}.${t.split(".")[1]}.`],
    [
      "with alg none and a signature",
      (t) => [part({ ...HEADER, alg: "none" }), ...t.split(".").slice(1)].join("."),
    ],
    [
      "signed with a key that everyone knows",
      (t) => {
        const text = `${part(HEADER)}.${t.split(".")[1]}`;
        return `${text}.${createHmac("sha256", "").update(text).digest("base64url")}`;
      },
    ],
    [
      "signed with the key that its own was derived from",
      (t, { key }) => {
        const text = `${part(HEADER)}.${t.split(".")[1]}`;
        return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
      },
    ],
    ["with a header of its own", (t) => [part({ ...HEADER, kid: "x" }), ...t.split(".").slice(1)].join(".")],
    ["as an access token", (t) => [part({ ...HEADER, typ: "at+jwt" }), ...t.split(".").slice(1)].join(".")],
    ["signed by the issuer of users", (t, { issuer }) => issuer.sign(payloadOf(t), { typ: HEADER.typ })],
    [
      "signed by the issuer in its own name",
      (t, { issuer }) =>
        issuer.sign({ ...payloadOf(t), iss: issuer.issuer, tenant: "acme" }, { typ: HEADER.typ }),
    ],
    ["that is very long", (t) => `${t}${"A".repeat(9000)}`],
    ["of nothing but its header", () => `${part(HEADER)}..`],
  ];
  test.each(forgeries)("%s", async (_, forge) => {
    const gate = await aReplica();
    const { token } = await gate.begin(await own(gate.issuer));
    expect(await gate.outcome(await forge(token, gate))).toBe("token_invalid");
    expect(await gate.outcome(token)).toBe("in");
  });

  test("by another gateway with the same store", async () => {
    const gate = await aReplica();
    const other = await aReplica({ ...gate, key: randomBytes(32) });
    const { token } = await gate.begin(await own(gate.issuer));
    expect(await other.outcome(token)).toBe("token_invalid");
  });
});

test("a run token says where a new one comes from when it has ended", async () => {
  const gate = await aReplica();
  const user = await own(gate.issuer);
  const { id, token } = await gate.begin(user);
  await gate.end(user, id);
  await expect(gate.who(token)).rejects.toMatchObject({
    code: "run_ended",
    headers: { "WWW-Authenticate": expect.stringMatching(/^Bearer error="invalid_token".*mcp\/support"$/) },
  });
});

describe("a run is never wider than the token that began it", () => {
  const wider: readonly (readonly [string, Record<string, unknown>, Json, string])[] = [
    ["of another server", { aud: audience("support") }, { servers: ["files"] }, "run_refused"],
    [
      "of its server and another",
      { aud: audience("support") },
      { servers: ["support", "files"] },
      "run_refused",
    ],
    ["of a server that its tenant is not given", {}, { servers: ["secret"] }, "run_refused"],
    ["of a server that there is not", {}, { servers: ["nothing"] }, "run_refused"],
    ["of the place of runs itself", {}, { servers: ["/runs"] }, "run_refused"],
    ["of a server whose scope the token lacks", { scope: "" }, { servers: ["support"] }, "run_refused"],
    ["with a token for its tenant's forbidden server alone", { aud: audience("secret") }, {}, "run_refused"],
    ["with a token for somebody else", { aud: "https://other.example" }, {}, "token_invalid"],
    ["with a token for a URL like it", { aud: `${RUNS_URL}/` }, {}, "token_invalid"],
    ["with a token of no tenant that is known", { tenant: "initech" }, {}, "tenant_unknown"],
    ["with an expired token", { exp: EPOCH - 31 }, {}, "token_expired"],
  ];
  test.each(wider)("%s", async (_, claims, body, code) => {
    const gate = await aReplica();
    const refused = await gate.post(await own(gate.issuer, claims), body);
    expect(refused.code).toBe(code);
    expect(JSON.stringify(refused.json)).not.toMatch(/"(secret|nothing|files)"/);
  });

  test("of more servers than a token can name, some must be chosen", async () => {
    const gate = await aReplica({ more: 31 });
    const user = await own(gate.issuer);
    expect(await gate.post(user, {})).toMatchObject({ status: 400, code: "params_invalid" });
    const { token } = await gate.begin(user, { servers: ["more-30"] });
    expect(await gate.outcome(token, "more-30")).toBe("in");
  });

  test("a server that it was not given takes its token for none", async () => {
    const gate = await aReplica();
    const { token } = await gate.begin(await own(gate.issuer), { servers: ["support"] });
    expect([await gate.outcome(token), await gate.outcome(token, "files")]).toEqual(["in", "token_invalid"]);
    expect(payloadOf(token).aud).toEqual([audience("support")]);
  });

  test("the place of runs takes no other token for its own, and its token opens no server", async () => {
    const gate = await aReplica();
    expect(await gate.outcome(await own(gate.issuer))).toBe("token_invalid");
  });

  test("without a token the challenge names the place of runs", async () => {
    const gate = await aReplica();
    const { status, code, headers } = await gate.post(undefined, {});
    expect([status, code]).toEqual([401, "token_missing"]);
    expect(headers.get("www-authenticate")).toBe(
      'Bearer resource_metadata="https://gate.example/.well-known/oauth-protected-resource/runs"',
    );
  });
});

test("a run token begins, lists and ends nothing", async () => {
  const gate = await aReplica();
  const { id, token } = await gate.begin(await own(gate.issuer, { roles: ["auditor"] }));
  const asked = [
    await gate.post(token, {}),
    await gate.ask("GET", "/runs", token),
    await gate.ask("GET", "/runs?of=tenant", token),
    await gate.end(token, id),
  ];
  expect(asked.map(({ status, code }) => [status, code])).toEqual(Array(4).fill([403, "run_refused"]));
  expect(await gate.outcome(token)).toBe("in");
});

test("another's run, another tenant's and none at all get the same answer", async () => {
  const gate = await aReplica();
  const { id, token } = await gate.begin(await own(gate.issuer));
  const strangers = [
    await own(gate.issuer, { sub: "bob" }),
    await own(gate.issuer, { tenant: "globex" }),
    await own(gate.issuer, { tenant: "globex", roles: ["auditor"] }),
  ];
  const answers = await Promise.all([
    ...strangers.map((stranger) => gate.end(stranger, id)),
    gate.end(strangers[0] ?? "", "A".repeat(22)),
    gate.end(strangers[0] ?? "", `${id.slice(0, -1)}${id.endsWith("A") ? "Q" : "A"}`),
    gate.end(strangers[0] ?? "", "constructor"),
  ]);
  expect(new Set(answers.map(({ status, json }) => JSON.stringify([status, json]))).size).toBe(1);
  expect(answers[0]).toMatchObject({ status: 404, code: "run_unknown" });
  expect(await gate.outcome(token)).toBe("in");
});

test("the same subject of another issuer is another user", async () => {
  const gate = await aReplica();
  const { id } = await gate.begin(await own(gate.issuer));
  const both = await aReplica({ ...gate, issuers: [gate.issuer.issuer, "https://other.example"] });
  const namesake = await own(gate.issuer, { iss: "https://other.example" });
  expect(await both.list(namesake)).toEqual([]);
  expect((await both.end(namesake, id)).code).toBe("run_unknown");
});

test("a run of an issuer that is configured no more is refused", async () => {
  const gate = await aReplica();
  const { token } = await gate.begin(await own(gate.issuer));
  const later = await aReplica({ ...gate, issuers: ["https://other.example"] });
  expect(await later.outcome(token)).toBe("token_invalid");
});

describe("who can write into the store makes no run of it", () => {
  test("another run's text, one of their own, or rubbish ends it", async () => {
    const gate = await aReplica();
    const user = await own(gate.issuer);
    const weak = await gate.begin(user, { servers: ["files"] });
    const strong = await gate.begin(user);
    const text = (await gate.store.get(`run ${strong.id}`)) ?? "";
    expect([text, Buffer.from(text, "base64url").toString("latin1")].join()).not.toContain("principal");
    const other = await aReplica({ ...gate, key: randomBytes(32) });
    const theirs = await other.begin(user);
    const sealedByThem = (await gate.store.get(`run ${theirs.id}`)) ?? "";
    for (const planted of [
      text,
      sealedByThem,
      JSON.stringify({ id: weak.id, servers: ["support"] }),
      "{",
      "",
    ]) {
      await gate.store.set(`run ${weak.id}`, planted, 60_000);
      expect(await gate.outcome(weak.token, "files")).toBe("run_ended");
    }
    expect(await gate.outcome(strong.token)).toBe("in");
  });

  test("a message that a run ended is believed only if it has", async () => {
    const gate = await aReplica();
    const { id, token } = await gate.begin(await own(gate.issuer));
    await gate.who(token);
    const ended: string[] = [];
    gate.runs.onEnd((one) => ended.push(one));
    await gate.store.publish("runs ended", id);
    await gate.store.publish("runs ended", "\0");
    await gate.who(token);
    expect(ended).toEqual([]);
  });
});

describe("a body that is not what it should be is refused, and never narrows to everything", () => {
  const bodies: readonly Json[] = [
    null,
    [],
    "all",
    { ttl: 0 },
    { ttl: 3601 },
    { ttl: 1.5 },
    { ttl: "60" },
    { ttl: null },
    { servers: [] },
    { servers: "support" },
    { servers: [""] },
    { servers: [null] },
    { servers: null },
    { servers: Array(33).fill("support") },
    { target: ["refund"] },
    { targets: { name: "refund" } },
    { targets: [{}] },
    { targets: [[]] },
    { targets: [{ tool: "refund" }] },
    { targets: [{ kind: "Tool" }] },
    { targets: [{ kind: "constructor" }] },
    { targets: [{ name: null }] },
    { targets: ["a\u0000b"] },
    { targets: Array(257).fill("a") },
    { servers: ["support"], targets: [{ server: "files", name: "read" }] },
    { accounts: "github" },
    { accounts: Array(65).fill("a") },
    { description: "x".repeat(257) },
    { description: "two\nlines" },
  ];
  test("a value", async () => {
    const gate = await aReplica();
    const user = await own(gate.issuer);
    for (const body of bodies) {
      const { status, code } = await gate.post(user, body);
      expect([body, status, code]).toEqual([body, 400, "params_invalid"]);
    }
    expect(await gate.list(user)).toEqual([]);
  });

  const texts: readonly (readonly [string, string, Record<string, string>, string])[] = [
    ["a repeated key", '{"servers":["files"],"servers":["support"]}', {}, "json_refused"],
    ["a deep one", `{"targets":${"[".repeat(9)}${"]".repeat(9)}}`, {}, "json_refused"],
    ["half of one", '{"ttl":', {}, "json_invalid"],
    ["one of 16 KiB and a byte", `"${"x".repeat(16_383)}"`, {}, "body_too_large"],
    ["a form", "ttl=1", { "content-type": "application/x-www-form-urlencoded" }, "content_type_refused"],
    ["another site's", "{}", { origin: "https://evil.example" }, "origin_refused"],
  ];
  test.each(texts)("%s", async (_, text, headers, code) => {
    const gate = await aReplica();
    const answer = await gate.ask("POST", "/runs", await own(gate.issuer), text, headers);
    expect(answer.code).toBe(code);
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("the path", () => {
  test.each(["/runs?access_token=x", "/runs?a=1?b&access%5Ftoken=x", "/runs/abc?Token=x"])(
    "a token in the URL is refused: %s",
    async (path) => {
      const gate = await aReplica();
      for (const method of ["GET", "POST", "DELETE"])
        expect((await gate.ask(method, path)).code).toBe("token_in_query");
    },
  );

  test("other methods are refused, with those that there are", async () => {
    const gate = await aReplica();
    const all = await gate.ask("PUT", "/runs", undefined, "{}");
    const one = await gate.ask("GET", `/runs/${"A".repeat(22)}`);
    const preflight = await gate.ask("OPTIONS", "/runs");
    expect([all.status, all.headers.get("allow")]).toEqual([405, "POST, GET"]);
    expect([one.status, one.headers.get("allow")]).toEqual([405, "DELETE"]);
    expect(preflight.status).toBe(405);
  });

  test("whatever is spelt otherwise is another's", async () => {
    const gate = await aReplica();
    for (const path of ["/runs/", "/Runs", "//runs", "/runs/a/b", "/runs;x", "/runs%2f", "/run", "/runs/%2e"])
      expect([path, (await gate.ask("GET", path)).status]).toEqual([path, 404]);
  });

  test("two tokens, or another host, are refused", async () => {
    const gate = await aReplica();
    const token = await own(gate.issuer);
    const twice = await raw(gate, { authorization: [`Bearer ${token}`, "Bearer x"] as never });
    const elsewhere = await raw(gate, { authorization: `Bearer ${token}`, host: "evil.example" });
    expect([twice, elsewhere]).toEqual([400, 403]);
  });

  test("who is refused before the body is there loses the connection, and need not send it", async () => {
    const gate = await aReplica();
    const sent = request(`${gate.origin}/runs`, { method: "POST", headers: { "content-length": "1000" } });
    sent.on("error", () => {}).write("{");
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    expect([response.statusCode, response.headers.connection]).toEqual([401, "close"]);
    sent.destroy();
  });
});

/** The status, with headers that `fetch` would not send. */
async function raw({ origin }: Replica, headers: Record<string, string>): Promise<number | undefined> {
  const sent = request(`${origin}/runs`, { headers });
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

test("a token that was ended within a request opens nothing more in it", async () => {
  const gate = await aReplica();
  const user = await own(gate.issuer);
  const { id, token } = await gate.begin(user);
  const { principal } = await gate.who(token);
  const target: Target = {
    upstream: "crm",
    kind: "tool",
    name: "refund",
    exposedName: "refund",
    labels: [],
    announced: {},
    definition: new Map(),
    inputSchema: {},
    digest: "",
  };
  const open = () => [gate.runs.reaches(principal, target, "support"), gate.runs.mayHave(principal, "crm")];
  expect(open()).toEqual([true, true]);
  await gate.end(user, id);
  expect(open()).toEqual([false, false]);
});

test("an access token is no run token, whatever it claims", async () => {
  const gate = await aReplica();
  const { id } = await gate.begin(await own(gate.issuer));
  const token = await gate.issuer.sign(good(gate.issuer, { jti: id, run: id }));
  const { principal } = await gate.who(token);
  expect(principal.run).toBeNull();
});
