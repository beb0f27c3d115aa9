import { queryObjects } from "node:v8";
import { expect, test } from "vitest";
import type { Lease, ListenRequest, Question, Upstream, UpstreamRequest } from "../../src/domain.ts";
import { abortSignalOf } from "../../src/lib/cancellation.ts";
import { Secret } from "../../src/lib/secret.ts";
import { discreet } from "../../src/upstream/discreet.ts";
import { calling } from "./servers.ts";

const PAIR = Buffer.from("u:passw0rd!").toString("base64");
const CONFIGURED = "svc-9f8e7d6c5b4a3210";

function leaseOf(header: string, more: Partial<Lease> = {}): Lease {
  const headers = new Map([["authorization", new Secret(header)]]);
  return { expires: 0, headers, sha256: "x", revoke: async () => {}, ...more };
}

/** An upstream that says one thing in every way that it has. */
function saying(text: string): Upstream {
  const tell = async ({ onNotification, onQuestion, signal }: UpstreamRequest | ListenRequest) => {
    onNotification?.("notifications/message", text);
    await onQuestion?.({ kind: "roots", method: "roots/list", params: text }, abortSignalOf(signal));
  };
  return {
    name: "up",
    identify: async () => ({
      era: "legacy",
      protocolVersion: "2025-11-25",
      serverInfo: { name: text },
      capabilities: {},
      instructions: text,
    }),
    async request(request) {
      await tell(request);
      return { kind: "error", text, isError: true, era: "legacy" };
    },
    async listen(request) {
      await tell(request);
      return { refused: new Map([["file:///a", text]]) };
    },
    release: async () => {},
    releaseWhere: async () => {},
    rootsChanged: async () => {},
    onChange: () => () => {},
    close: async () => {},
  };
}

async function heard(text: string, lease: Lease): Promise<readonly string[]> {
  const upstream = discreet(saying(text), [{ headers: new Map(), secrets: [new Secret(CONFIGURED)] }]);
  const said: string[] = [];
  const hearing = {
    lease,
    onNotification: (_: string, params: string) => void said.push(params),
    onQuestion: async ({ params }: Question) => {
      said.push(params);
      return { kind: "result", text: "{}" } as const;
    },
  };
  const request = calling("any", {}, hearing);
  said.push((await upstream.request(request)).text);
  const { refused } = await upstream.listen({
    ...request,
    ...hearing,
    signal: abortSignalOf(request.signal),
    uris: [],
  });
  return [...said, ...refused.values()];
}

test.each([
  ["a bearer token", "Bearer tok-123456", "tok-123456", "[withheld]"],
  ["a Basic pair, its end escaped", `Basic ${PAIR}`, PAIR.replaceAll("=", "\\u003d"), "[withheld]\\u003d"],
  ["what a Basic pair says", `Basic ${PAIR}`, "u:passw0rd!", "[withheld]"],
  ["its password alone", `Basic ${PAIR}`, "passw0rd!", "[withheld]"],
  ["a value with spaces", "Key one two", "Key one two", "[withheld]"],
  ["what was configured", "Bearer tok-123456", CONFIGURED, "[withheld]"],
])("%s is cut from everything that an upstream says", async (_, header, told, cut) => {
  const said = await heard(`{"a":"${told}"}`, leaseOf(header));
  expect(said).toHaveLength(6);
  expect(new Set(said)).toEqual(new Set([`{"a":"${cut}"}`]));
});

test("an upstream does not tell of itself what it was configured with", async () => {
  const upstream = discreet(saying(CONFIGURED), [{ headers: new Map(), secrets: [new Secret(CONFIGURED)] }]);
  expect(await upstream.identify(new AbortController().signal)).toMatchObject({
    serverInfo: { name: "[withheld]" },
    instructions: "[withheld]",
  });
});

test("where the source says what is secret, the rest of the environment may be told", async () => {
  const env = new Map([["PGUSER", new Secret("user-of-ann")]]);
  const lease = leaseOf("Bearer tok-123456", { env, secrets: [new Secret("password-of-ann")] });
  expect((await heard("user-of-ann password-of-ann", lease))[0]).toBe("user-of-ann [withheld]");
});

test("a client certificate's private key is cut, the certificate is everybody's to know", async () => {
  const certificate = { certificate: "certificate-of-ann", key: new Secret("private-key-of-ann") };
  const said = await heard(
    "private-key-of-ann certificate-of-ann",
    leaseOf("Bearer tok-123456", { certificate }),
  );
  expect(said[0]).toBe("[withheld] certificate-of-ann");
});

test("of a lease that would not say when it is over nothing is kept beyond its own request", async () => {
  const upstream = discreet(saying("tok-123456"), []);
  const answer = async (lease?: Lease) =>
    (await upstream.request(calling("any", {}, { sessionKey: "ann", ...(lease && { lease }) }))).text;
  expect(await answer(leaseOf("Bearer tok-123456"))).toBe("[withheld]");
  expect(await answer()).toBe("tok-123456");
});

test("of a lease that is over nothing is kept, and nothing of what another owner was given", async () => {
  const over = new AbortController();
  const upstream = discreet(saying("tok-123456 tok-654321"), []);
  const answer = async (sessionKey: string, lease?: Lease) =>
    (await upstream.request(calling("any", {}, { sessionKey, ...(lease && { lease }) }))).text;
  const first = leaseOf("Bearer tok-123456", { ended: over.signal });
  const other = leaseOf("Bearer tok-654321", { ended: new AbortController().signal });
  expect(await answer("ann", first)).toBe("[withheld] tok-654321");
  expect(await answer("bob", other)).toBe("tok-123456 [withheld]");
  expect(await answer("ann", other)).toBe("[withheld] [withheld]");
  over.abort();
  expect(await answer("ann")).toBe("tok-123456 [withheld]");
  await upstream.release("ann");
  expect(await answer("ann")).toBe("tok-123456 tok-654321");
});

test("of an owner that was let go nothing is kept with a lease that lives on", async () => {
  const upstream = discreet({ ...saying("{}"), release: async () => {} }, []);
  const lease = leaseOf("Bearer s3cr3t-s3cr3t", { ended: new AbortController().signal });
  /** After a full collection. */
  const used = () => {
    queryObjects(Secret);
    return process.memoryUsage().heapUsed;
  };
  const serve = async (from: number, to: number) => {
    for (let at = from; at < to; at += 1) {
      const sessionKey = `session ${at} ${"x".repeat(200)}`;
      await upstream.request({ ...calling("echo", {}), sessionKey, lease });
      await upstream.release(sessionKey);
    }
  };
  await serve(0, 1000);
  const before = used();
  await serve(1000, 31_000);
  // Owners alone would be over 6 MB.
  expect(used() - before).toBeLessThan(3e6);
});
