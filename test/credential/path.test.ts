import { expect, test } from "vitest";
import { pathTemplate } from "../../src/config/sections/vault-paths.ts";
import { render, subjectName, type Variables } from "../../src/credential/vault/path.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";

/** Names that read the same when they are put side by side. */
const PARTS = ["a", "b", "a-b", "b-a", "a.b", "b.a", "a_b", "a@b", "h-a", "a.b.a"];
const PRINCIPALS: readonly Variables[] = PARTS.flatMap((tenant) =>
  PARTS.flatMap((subject) => PARTS.map((role) => ({ tenant, subject, role }))),
);
const NAMES = ["tenant", "subject", "role"] as const;
const FORMS = NAMES.flatMap((first) =>
  NAMES.flatMap((second) =>
    ["", "-", "_", ".", "@", "/", ".x-", "/x."].flatMap((between) => [
      `k/{${first}}${between}{${second}}`,
      `{tenant}/{${first}}${between}{${second}}`,
      `{tenant}.{${first}}${between}{${second}}`,
    ]),
  ),
);
const taken = FORMS.filter((form) => pathTemplate.safeParse(form).success);

test("no path that the configuration takes is the same for two principals", () => {
  for (const form of taken) {
    const used = NAMES.filter((name) => form.includes(`{${name}}`));
    const whose = new Map<string, string>();
    for (const principal of PRINCIPALS.filter(({ tenant }) => !tenant.match(/[.@]/))) {
      const who = JSON.stringify(used.map((name) => principal[name]));
      const path = render(form, principal);
      expect(whose.get(path) ?? who, `${form} is ${path}`).toBe(who);
      whose.set(path, who);
    }
  }
  expect(taken).toContain("{tenant}.{role}/{subject}");
  expect(taken).not.toContain("k/{tenant}-{subject}");
});

test.each(["a.b", "a@b", "A", "a/b", "", "*"])(
  "a tenant %j, which could end elsewhere, has no path",
  (tenant) => {
    const fill = () => render("database/creds/{tenant}.{role}", { tenant, subject: "ann", role: "reader" });
    expect(fill).toThrow(expect.objectContaining({ code: "credential_refused" }));
  },
);

test("no two users have one name in Vault, whatever their issuers call them", () => {
  const plain = "https://plain.example";
  const nameOf = (issuer: string, subject: string) =>
    subjectName(plainPrincipal({ kind: "user", tenant: "acme", issuer, subject }), plain);
  expect(nameOf(plain, "ann")).toBe("ann");
  const others = [nameOf("https://one.example", "ann"), nameOf("https://two.example", "ann")];
  const names = [
    "ann",
    ...others,
    // Called by its issuer what another is called by the gateway.
    ...others.map((name) => nameOf(plain, name)),
    nameOf(plain, "dave"),
    // Vault takes one for the other.
    nameOf(plain, "Dave"),
    nameOf(plain, "DAVE"),
  ];
  expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length);
});
