import { expect, test } from "vitest";
import type { Directory } from "../../src/identity/directory.ts";
import { cpuClock } from "../support/cpu.ts";
import { EPOCH, good } from "./issuer.ts";
import { anIssuer, aStage, optionsOf } from "./world.ts";

test("the same subject of two issuers is two principals", async () => {
  const [one, two] = [await anIssuer(), await anIssuer()];
  const { who } = aStage([optionsOf(one), { ...optionsOf(two), tenant: { fixed: "globex" } }]);
  const [a, b] = [await who(await one.sign(good(one))), await who(await two.sign(good(two)))];
  expect([a.principal.issuer, a.principal.tenant]).toEqual([one.issuer, "acme"]);
  expect([b.principal.issuer, b.principal.tenant]).toEqual([two.issuer, "globex"]);
  expect(a.digest).not.toBe(b.digest);
});

test("an issuer's key does not vouch for another issuer, though both use the same kid", async () => {
  const [one, two] = [await anIssuer(), await anIssuer()];
  const { outcome } = aStage([optionsOf(one), optionsOf(two)]);
  expect(await outcome(await two.sign(good(one)))).toBe("token_invalid");
  expect(await outcome(await one.sign(good(two)))).toBe("token_invalid");
});

test("a token that one server remembers is still no token for another", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  const token = await issuer.sign(good(issuer));
  const both = [outcome(token, "support"), outcome(token, "finance")];
  expect(await Promise.all(both)).toEqual(["in: ann", "token_invalid"]);
  for (let n = 0; n < 3; n++) {
    expect(await outcome(token, "support")).toBe("in: ann");
    expect(await outcome(token, "finance")).toBe("token_invalid");
  }
});

test("interleaved tokens of two tenants never meet, cold or remembered", async () => {
  const issuer = await anIssuer();
  const { who } = aStage([optionsOf(issuer)]);
  const tokens = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      issuer.sign(good(issuer, { sub: `u${n}`, tenant: n % 2 ? "acme" : "globex" })),
    ),
  );
  for (let round = 0; round < 3; round++) {
    const identities = await Promise.all(tokens.map((token) => who(token)));
    identities.forEach(({ principal, tenant }, n) => {
      expect([principal.subject, principal.tenant, tenant.id]).toEqual([
        `u${n}`,
        n % 2 ? "acme" : "globex",
        n % 2 ? "acme" : "globex",
      ]);
    });
  }
});

test("a changed tenant record is seen by the next call, and a removed tenant is refused", async () => {
  const issuer = await anIssuer();
  const { directory, outcome, who } = aStage([optionsOf(issuer)]);
  const token = await issuer.sign(good(issuer));
  const before = await who(token);
  expect(await who(token)).toBe(before);
  directory.replace({ tenants: new Map([["acme", { refund_limit: 7 }]]) });
  const after = await who(token);
  expect(after.tenant).toEqual({ id: "acme", refund_limit: 7 });
  expect(after.digest).not.toBe(before.digest);
  directory.replace({ tenants: new Map() });
  expect(await outcome(token)).toBe("tenant_unknown");
});

test("attributes are looked up by issuer, subject and tenant together, and win over claims", async () => {
  const issuer = await anIssuer();
  const { directory, who } = aStage([{ ...optionsOf(issuer), claims: { attributes: { team: "team" } } }]);
  const of = (changes: object) => ({
    issuer: issuer.issuer,
    subject: "ann",
    tenant: "acme",
    attributes: { team: "red" },
    ...changes,
  });
  const tenants = new Map([
    ["acme", {}],
    ["globex", {}],
  ]);
  directory.replace({ tenants, principals: [of({})] });
  const teams = async () =>
    Promise.all(
      [{}, { sub: "bob" }, { tenant: "globex" }].map(async (changes) => {
        const { principal } = await who(await issuer.sign(good(issuer, { team: "claimed", ...changes })));
        return principal.attributes.team;
      }),
    );
  expect(await teams()).toEqual(["red", "claimed", "claimed"]);
  directory.replace({ tenants, principals: [of({ attributes: { team: "green" } })] });
  expect(await teams()).toEqual(["green", "claimed", "claimed"]);
});

test("attributes that changed alone are seen by the next call", async () => {
  const issuer = await anIssuer();
  const record = { id: "acme" };
  let attributes = { team: "red" };
  const directory: Directory = { tenant: () => record, attributes: () => attributes };
  const { who } = aStage([optionsOf(issuer)], { directory });
  const token = await issuer.sign(good(issuer));
  const before = await who(token);
  expect(await who(token)).toBe(before);
  attributes = { team: "green" };
  const after = await who(token);
  expect(after.principal.attributes).toEqual({ team: "green" });
  expect(after.digest).not.toBe(before.digest);
});

test("a directory that fails is 503, not an empty record", async () => {
  const issuer = await anIssuer();
  const broken: Directory = {
    tenant: async () => Promise.reject(new Error("disk")),
    attributes: async () => ({}),
  };
  const { outcome } = aStage([optionsOf(issuer)], { directory: broken });
  expect(await outcome(await issuer.sign(good(issuer)))).toBe("identity_unavailable");
});

test("a remembered token is refused when it has expired, and when the clock was set back", async () => {
  const issuer = await anIssuer();
  const { clock, outcome } = aStage([optionsOf(issuer)]);
  const token = await issuer.sign(good(issuer, { exp: EPOCH + 10, nbf: EPOCH - 10 }));
  expect(await outcome(token)).toBe("in: ann");
  clock.advance(39);
  expect(await outcome(token)).toBe("in: ann");
  clock.advance(1);
  expect(await outcome(token)).toBe("token_expired");
  clock.advance(-100);
  expect(await outcome(token)).toBe("token_invalid");
});

test("a hot token costs a few microseconds", async () => {
  const issuer = await anIssuer();
  const { who } = aStage([optionsOf(issuer)]);
  const token = await issuer.sign(good(issuer));
  await who(token);
  const cost = cpuClock();
  for (let n = 0; n < 2_000; n++) await who(token);
  expect((cost() / 2_000) * 1_000).toBeLessThan(100);
});
