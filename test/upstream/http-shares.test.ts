import { afterEach, expect, test } from "vitest";
import type { Who } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { Secret } from "../../src/lib/secret.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import type { HttpUpstreamOptions } from "../../src/upstream/http.ts";
import { serveStateful } from "./legacy-server.ts";
import { calling, closeAll, httpUpstream } from "./servers.ts";

afterEach(closeAll);
const ANN = { tenant: "acme", user: "ann", person: "ann" };
const RUN = { tenant: "acme", user: "a run of ann's", person: "ann" };
const BOB = { tenant: "acme", user: "bob", person: "bob" };
const DEE = { tenant: "globex", user: "dee", person: "dee" };
const half = (max: number) => max / 2;

type Server = Awaited<ReturnType<typeof serveStateful>>;
type Up = ReturnType<typeof httpUpstream>;

async function upstreamWith(options: Pick<HttpUpstreamOptions, "limits" | "share">) {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url, options);
  await upstream.identify(new AbortController().signal);
  const [own = ""] = server.sessions.keys();
  return { server, upstream, own };
}

/** A call of a client that says of itself what no other does. */
function call(upstream: Up, who: Who, of: string | number, tool = "echo", signal?: AbortSignal) {
  const more = { who, sessionKey: `${who.user} ${of}`, ...(signal && { signal }) };
  return upstream.request(calling(tool, {}, more)).then(
    () => "ok",
    ({ code, reason }) => `${code}: ${reason}`,
  );
}

/** Makes a call, and gives the session in which it arrived. */
async function sessionOf({ seen }: Server, ...asked: Parameters<typeof call>): Promise<string> {
  await call(...asked);
  return String(seen.at(-1)?.request.headers["mcp-session-id"]);
}

const countOf = (server: Server) => expect.poll(() => server.sessions.size);

test("a user who opens 1,100 sessions, runs included, has 128 and ends nobody else's", async () => {
  const { server, upstream, own } = await upstreamWith({ share: half });
  const others = [await sessionOf(server, upstream, DEE, 1), await sessionOf(server, upstream, BOB, 1), own];
  for (let at = 0; at < 1100; at += 20) {
    const calls = Array.from({ length: 20 }, (_, nth) => call(upstream, nth % 2 ? ANN : RUN, at + nth));
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["ok"]));
  }
  await countOf(server).toBe(128 + 3);
  expect(others.filter((id) => !server.sessions.has(id))).toEqual([]);
});

test("a session in use is never ended: who has their share of them is refused, and nobody else", async () => {
  const { server, upstream } = await upstreamWith({
    limits: { sessions: 8, sessionsPerUser: 3 },
    share: half,
  });
  const abort = new AbortController();
  const hang = (who: Who, of: number) => call(upstream, who, of, "hang", abort.signal);
  const calls = [hang(ANN, 1), hang(ANN, 2), hang(RUN, 1)];
  expect(await call(upstream, RUN, 2)).toBe("overloaded: the user's 3 upstream sessions are in use");
  calls.push(hang(BOB, 1));
  expect(await call(upstream, BOB, 2)).toBe("overloaded: the tenant's 4 upstream sessions are in use");
  expect(await call(upstream, DEE, 1)).toBe("ok");
  await countOf(server).toBe(4 + 2);
  abort.abort();
  expect(await Promise.all(calls)).toEqual(Array(4).fill(expect.stringContaining("cancelled")));
  expect(await call(upstream, BOB, 2)).toBe("ok");
});

test("no tenant loses a session to one that has more, nor the gateway its own to anybody", async () => {
  const { server, upstream, own } = await upstreamWith({ limits: { sessions: 3 } });
  const dees = await sessionOf(server, upstream, DEE, 1);
  const anns = await sessionOf(server, upstream, ANN, 1);
  await call(upstream, BOB, 1);
  await call(upstream, { tenant: "acme", user: "cho", person: "cho" }, 1);
  await countOf(server).toBe(3 + 1);
  expect([own, dees, anns].map((id) => server.sessions.has(id))).toEqual([true, true, false]);
});

test("what makes room at one replica is ended only where no other has it", async () => {
  const server = await serveStateful();
  const shared = {
    store: createMemoryStore({ clock: systemClock }),
    seal: createSeal(new Secret("k".repeat(32))),
  };
  const options = { shared, limits: { sessionsPerUser: 2 } };
  const [a, b] = [httpUpstream(server.url, options), httpUpstream(server.url, options)];
  const both = await sessionOf(server, a, ANN, "both");
  expect(await sessionOf(server, b, ANN, "both")).toBe(both);
  const alone = await sessionOf(server, a, ANN, "alone");
  for (const of of [1, 2]) await call(a, ANN, of);
  await expect.poll(() => server.sessions.has(alone)).toBe(false);
  expect(server.sessions.has(both)).toBe(true);
  expect(await sessionOf(server, a, ANN, "alone")).not.toBe(alone);
  for (const of of [1, 2]) await call(b, ANN, of);
  await expect.poll(() => server.sessions.has(both)).toBe(false);
});

test("a session is ended with the credential that it was last used with", async () => {
  const server = await serveStateful();
  const upstream = httpUpstream(server.url);
  for (const lease of ["first", "last"]) {
    const credential = new Map([["authorization", new Secret(`Bearer ${lease}`)]]);
    await upstream.request(calling("echo", {}, { credential }));
  }
  await upstream.release("ann");
  expect(server.seen.at(-1)).toMatchObject({
    verb: "DELETE",
    request: { headers: { authorization: "Bearer last" } },
  });
});
