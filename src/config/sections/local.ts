import { z } from "zod";
import { tenantId, words } from "../values.ts";

/** Who a developer's own client is, over `portcullis stdio`: this operating system's user, in this tenant. */
export const local = z.strictObject({
  tenant: tenantId.describe("The tenant acted on."),
  roles: words.default([]),
  scopes: words.default([]),
});
