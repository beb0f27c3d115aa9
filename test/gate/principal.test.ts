import { expect, test } from "vitest";
import type { Identity } from "../../src/domain.ts";
import { isKeyOf, principalKeyOf } from "../../src/gate/principal.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";

const ann = { issuer: "https://idp.example", subject: "ann", tenant: "acme", run: "" };
const keyOf = ({ run, ...user }: typeof ann) =>
  principalKeyOf({
    principal: {
      ...plainPrincipal({ kind: "user", ...user }),
      run: run === "" ? null : { id: run, expires: 1 },
    },
  } as Identity);

test("what one holds is theirs alone: no other run's, not their user's, and no other issuer's or tenant's", () => {
  const all = [
    ann,
    { ...ann, run: "one" },
    { ...ann, run: "two" },
    { ...ann, subject: "bob" },
    { ...ann, tenant: "globex" },
    { ...ann, issuer: "https://other.example" },
  ];
  for (const one of all) expect(all.filter((held) => isKeyOf(keyOf(one), held))).toEqual([one]);
});
