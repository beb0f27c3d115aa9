import { expect, test } from "vitest";
import type { Era, Lease, UpstreamReply } from "../../src/domain.ts";
import type { Ask } from "../../src/gate/ask.ts";

import type { Rooms } from "../../src/gate/rooms.ts";
import type { Allowed } from "../../src/gate/wanted.ts";
import { workOf } from "../../src/gate/work.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import type { JsonObject } from "../../src/lib/json.ts";

const DONE: UpstreamReply = { kind: "result", text: "{}", isError: false, era: "modern" };
const QUESTION = {
  method: "elicitation/create",
  params: { message: "?", requestedSchema: { type: "object" } },
};

interface Exchanged {
  readonly era?: Era;
  /** Of the upstream that answers. */
  readonly upstreamEra?: Era;
  readonly allowed?: Partial<Allowed>;
  answer?(): Promise<UpstreamReply>;
  /** How the client answers a question. */
  asked?: Rooms["questions"]["ask"];
  /** How the decision about a question comes to be on record. */
  recorded?: Rooms["decisions"]["decision"];
}

/** One allowed call, and how its upstream saw it: the params of each request, and who held the lease meanwhile. */
function exchanged({ era = "modern", upstreamEra = "modern", allowed = {}, ...rest }: Exchanged) {
  const { recorded: decision = async () => {} } = rest;
  const { answer = async () => DONE, asked: ask = () => Promise.reject(new Error("nobody is asked")) } = rest;
  const seen: { readonly params: JsonObject; readonly holders: number }[] = [];
  let holders = 0;
  const hold = () => {
    holders += 1;
    return () => {
      holders -= 1;
    };
  };
  const counts = { obtained: 0, revoked: 0 };
  const revoke = async () => {
    counts.revoked += 1;
  };
  const lease: Lease = { expires: Infinity, headers: new Map(), sha256: "a", hold, revoke };
  const kept: string[] = [];
  const upstream = {
    request({ params }: { params: JsonObject }) {
      seen.push({ params, holders });
      return answer();
    },
  };
  const rooms = {
    catalog: { view: () => ({ upstreams: new Map([["crm", { era: upstreamEra }]]) }) },
    credentials: {
      async obtain() {
        counts.obtained += 1;
        return lease;
      },
    },
    tasks: { keep: async (_: string, id: string) => void kept.push(id) },
    elicitations: { waits: async () => {} },
    upstreams: new Map([["crm", upstream]]),
    timeoutOf: () => 1000,
    asides: null,
    decisions: { newId: () => "id", decision },
    metrics: { decided() {} },
    questions: { ask },
    newId: () => "id",
  } as unknown as Rooms;
  const asking = {
    message: { era, method: "tools/call", task: { ttl: 1 } },
    session: era === "legacy" ? { id: "s" } : null,
    ...{ identity: {}, policy: {}, seen: {}, clientCapabilities: { elicitation: {} } },
    header: () => undefined,
  } as unknown as Ask;
  const call = {
    target: { upstream: "crm" },
    grant: { interaction: ["elicitation"] },
    params: {},
    ...allowed,
  };
  const work = workOf(asking, rooms, call as unknown as Allowed, () => {});
  return { seen, counts, kept, holders: () => holders, turn: work(new AbortController().signal, null) };
}

test("a call holds its lease while it works, so that none is revoked under it, and lets go whatever comes of it", async () => {
  const answered = exchanged({});
  expect(await answered.turn).toEqual({ kind: "answer", answer: DONE });
  const failed = exchanged({ answer: () => Promise.reject(new PortcullisError("upstream_unavailable")) });
  await expect(failed.turn).rejects.toThrow();
  for (const { seen, holders } of [answered, failed])
    expect([seen.map((one) => one.holders), holders()]).toEqual([[1], 0]);
});

test.each<[string, Exchanged]>([
  ["to a call that is made anew", { allowed: { resume: { kind: "again" } } }],
  [
    "to a legacy server",
    { upstreamEra: "legacy", allowed: { resume: { kind: "upstream", state: null, responses: { a: {} } } } },
  ],
])("answers that its client sends along do not go by themselves %s", async (_, given) => {
  const params = { name: "open", inputResponses: { a: {} }, requestState: "sealed" };
  const { seen, turn } = exchanged({ ...given, allowed: { ...given.allowed, params } });
  await turn;
  expect(seen.map((one) => one.params)).toEqual([{ name: "open" }]);
});

test("a server that asks a legacy client without end is given up", async () => {
  const text = '{"resultType":"input_required","requestState":"more"}';
  let rounds = 0;
  const { seen, turn } = exchanged({
    era: "legacy",
    async answer() {
      rounds += 1;
      return rounds > 20 ? DONE : { ...DONE, text };
    },
  });
  await expect(turn).rejects.toMatchObject({ code: "upstream_protocol" });
  expect(seen).toHaveLength(8);
});

test.each(["legacy", "modern"] as const)(
  "a question is on record before its %s client hears it",
  async (era) => {
    const text = JSON.stringify({ resultType: "input_required", inputRequests: { a: QUESTION } });
    let asked = 0;
    let isUnsaid = false;
    const recorded = new Promise<void>((_, reject) => {
      setTimeout(() => {
        isUnsaid = asked === 0;
        reject(new PortcullisError("audit_unavailable"));
      }, 20);
    });
    const { turn } = exchanged({
      era,
      answer: async () => ({ ...DONE, text }),
      recorded: () => recorded,
      async asked() {
        asked += 1;
        return { kind: "result", text: "{}" };
      },
    });
    await expect(turn).rejects.toMatchObject({ code: "audit_unavailable" });
    expect([isUnsaid, asked]).toEqual([true, 0]);
  },
);

test("where one of a server's questions fails, those beside it are withdrawn", async () => {
  const text = JSON.stringify({ resultType: "input_required", inputRequests: { a: QUESTION, b: QUESTION } });
  const signals: AbortSignal[] = [];
  const { turn } = exchanged({
    era: "legacy",
    answer: async () => ({ ...DONE, text }),
    asked(_session, _question, _to, signal) {
      const isFirst = signals.push(signal) === 1;
      return isFirst ? new Promise(() => {}) : Promise.reject(new PortcullisError("overloaded"));
    },
  });
  await expect(turn).rejects.toMatchObject({ code: "overloaded" });
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
});

test.each(["legacy", "modern"] as const)(
  "what the grant does not let a server ask is asked of no %s client",
  async (era) => {
    const text = JSON.stringify({ resultType: "input_required", inputRequests: { a: QUESTION } });
    let asked = 0;
    const { turn } = exchanged({
      era,
      allowed: { grant: { interaction: ["sampling"] } as unknown as Allowed["grant"] },
      answer: async () => ({ ...DONE, text }),
      async asked() {
        asked += 1;
        return { kind: "result", text: "{}" };
      },
    });
    await expect(turn).rejects.toMatchObject({ code: "interaction_refused" });
    expect(asked).toBe(0);
  },
);

test("a lease that its upstream refuses is revoked, and replaced once; for nothing else is a request made twice", async () => {
  const refusing = async (code: "credential_rejected" | "upstream_unavailable") => {
    const { seen, counts, turn } = exchanged({ answer: () => Promise.reject(new PortcullisError(code)) });
    await expect(turn).rejects.toMatchObject({ code });
    return { requests: seen.length, ...counts };
  };
  expect(await refusing("credential_rejected")).toEqual({ requests: 2, obtained: 2, revoked: 2 });
  expect(await refusing("upstream_unavailable")).toEqual({ requests: 1, obtained: 1, revoked: 0 });
});

test("a task is remembered where its server speaks the words that its client called it in", async () => {
  const text = '{"task":{"taskId":"t"}}';
  const same = exchanged({ era: "legacy", answer: async () => ({ ...DONE, era: "legacy", text }) });
  await same.turn;
  const other = exchanged({ era: "legacy", answer: async () => ({ ...DONE, text }) });
  await other.turn;
  expect([same.kept, other.kept]).toEqual([["t"], []]);
});
