import { rename, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Spy, serveSpy, text } from "./upstreams.ts";
import { callTool, OPEN, openSession, openWorld, textBelow, until, type World } from "./world.ts";

let spy: Spy;
let world: World;
/** What of the log was on disk when a call arrived upstream, by decision. */
const onArrival = new Map<string, string>();

beforeAll(async () => {
  spy = await serveSpy({
    call({ headers }) {
      onArrival.set(String(headers["portcullis-decision"]), textBelow(join(world.directory, "log")));
      return text("done");
    },
  });
  world = await openWorld({ config: config(), policies: OPEN });
});
afterAll(async () => {
  await world.close();
  await spy.close();
});

function config() {
  return { upstreams: { spy: { url: spy.url, era: "legacy" } }, servers: { main: { upstreams: ["spy"] } } };
}

test("each call's decision is in the log when the upstream sees it, and its outcome follows", async () => {
  const token = await world.token("ann", "main");
  await Promise.all(
    Array.from({ length: 20 }, (_, id) => callTool(world.url("main"), "echo", { text: "x" }, { token, id })),
  );
  expect(onArrival.size).toBe(20);
  for (const [id, log] of onArrival) {
    const line = log.split("\n").find((one) => one.includes(`"id":"${id}"`));
    expect(JSON.parse(line ?? "{}")).toMatchObject({
      phase: "decision",
      effect: "allow",
      target: { name: "echo" },
    });
  }
  const outcomes = await until("outcomes", async () => {
    const found = await world.outcomes();
    return found.length === 20 && found;
  });
  expect(new Set(outcomes.map(({ decision }) => decision))).toEqual(new Set(onArrival.keys()));
  for (const outcome of outcomes) expect(outcome).toMatchObject({ status: "ok", is_error: false });
});

interface Attempt {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A request as it stands: fetch would not send some of these. */
function send({ method = "POST", path = "/mcp/main", headers = {}, body = "" }: Attempt): Promise<number> {
  const { port } = new URL(world.origin);
  const usual = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  return new Promise((resolve, reject) => {
    const asked = request(
      { port, host: "127.0.0.1", method, path, headers: { ...usual, ...headers } },
      (response) => {
        response.resume().on("end", () => resolve(response.statusCode ?? 0));
      },
    );
    asked.on("error", reject).end(body);
  });
}

const asAnn = async () => ({ authorization: `Bearer ${await world.token("ann", "main")}` });
const LIST = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: {} });

test.each<[string, number, Attempt | (() => Promise<Attempt>)]>([
  ["token_missing", 401, { body: LIST }],
  ["token_invalid", 401, { body: LIST, headers: { authorization: "Bearer nonsense" } }],
  ["json_invalid", 400, { body: "{" }],
  ["json_refused", 400, { body: '{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}' }],
  ["request_invalid", 400, async () => ({ body: "[]", headers: await asAnn() })],
  ["host_refused", 403, { body: LIST, headers: { host: "rebound.example" } }],
  ["origin_refused", 403, { body: LIST, headers: { origin: "https://page.example" } }],
  ["not_found_path", 404, { body: LIST, path: "/mcp/nowhere" }],
  ["method_not_allowed", 405, { method: "PUT", body: LIST }],
  ["content_type_refused", 415, { body: LIST, headers: { "content-type": "text/plain" } }],
  ["body_too_large", 413, { body: `"${"x".repeat(1024 * 1024)}"` }],
  ["token_in_query", 400, { body: LIST, path: "/mcp/main?access_token=x" }],
  [
    "session_unknown",
    404,
    async () => ({ body: LIST, headers: { ...(await asAnn()), "mcp-session-id": "nonsense" } }),
  ],
])(
  "a request refused as %s (%i) has one record, and nothing goes upstream",
  async (code, status, attempt) => {
    const before = { decisions: (await world.decisions()).length, seen: spy.seen.length };
    expect(await send(typeof attempt === "function" ? await attempt() : attempt)).toBe(status);
    expect((await world.decisions()).slice(before.decisions)).toMatchObject([{ effect: "deny", code }]);
    expect(spy.seen.length).toBe(before.seen);
  },
);

test("the record of a refused message has its method and id, whether or not its sender had a token", async () => {
  const body = JSON.stringify({ jsonrpc: "2.0", id: "mine", method: "tools/nope" });
  const before = (await world.decisions()).length;
  expect([await send({ body }), await send({ body, headers: await asAnn() })]).toEqual([401, 200]);
  const said = { effect: "deny", method: "tools/nope", rpc_id: "mine" };
  expect((await world.decisions()).slice(before)).toMatchObject([
    { ...said, code: "token_missing", principal: null },
    { ...said, code: "method_unknown", principal: { subject: "ann", tenant: "acme" } },
  ]);
});

test("a flood of refusals is counted together, and none is lost", async () => {
  const before = (await world.decisions()).length;
  const attempt = { body: LIST, headers: { authorization: "Basic eDp4" } };
  await Promise.all(Array.from({ length: 200 }, () => send(attempt)));
  const total = async () => {
    const found = (await world.decisions()).slice(before);
    const counted = found.reduce((sum, { count = 1 }) => sum + count, 0);
    return counted === 200 && found;
  };
  expect((await until("all refusals", total)).length).toBeLessThan(50);
});

test("when the log cannot be written nothing is forwarded: 503, and readiness fails", async () => {
  const broken = await openWorld({
    config: { ...config(), audit: { path: "./log", segment_bytes: 4096 } },
    policies: OPEN,
  });
  try {
    const token = await broken.token("ann", "main");
    const session = await openSession(broken.url("main"), token);
    const call = (id: number) =>
      callTool(broken.url("main"), "echo", { text: "x" }, { token, era: "legacy", session, id });
    expect((await call(1)).status).toBe(200);
    // The next segment finds a file where its folder was.
    await rename(join(broken.directory, "log"), join(broken.directory, "moved"));
    await writeFile(join(broken.directory, "log"), "");
    const failed = await until("the first refusal", async () => {
      const answer = await call(2);
      return answer.status !== 200 && answer;
    });
    expect([failed.status, failed.body.error?.data.code]).toEqual([503, "audit_unavailable"]);
    const before = spy.seen.length;
    for (const sent of [{ token }, { token, era: "legacy", session } as const, {}]) {
      const { status, body } = await callTool(broken.url("main"), "echo", { text: "x" }, sent);
      expect([status, body.error?.data.code]).toEqual([503, "audit_unavailable"]);
    }
    expect(spy.seen.length).toBe(before);
    const ready = await fetch(`${broken.origin}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      503,
      { ok: false, reasons: ["the decision log cannot be written"] },
    ]);
    expect((await fetch(`${broken.origin}/healthz`)).status).toBe(200);
    const kept = textBelow(join(broken.directory, "moved"));
    for (const { headers } of spy
      .calls()
      .filter(({ headers: { "portcullis-decision": id } }) => !onArrival.has(String(id)))) {
      expect(kept).toContain(`"id":"${headers["portcullis-decision"]}"`);
    }
  } finally {
    await broken.close();
  }
});
