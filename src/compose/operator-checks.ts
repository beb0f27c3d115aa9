import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isPlainText } from "../lib/plain-text.ts";

const MAX_REASON = 256;

/** A reason stands in records and on terminals. */
export function checkReason({ reason }: { readonly reason: string }): void {
  if (isPlainText(reason, MAX_REASON)) return;
  const why = `a reason is one line of at most ${MAX_REASON} characters`;
  throw new PortcullisError("params_invalid", { reason: why });
}

/** What was taken out of the configuration and still has something here is known, too: that is `isLeft`. */
export async function checkTenant(
  id: string,
  { tenants }: Pick<Config, "tenants">,
  isLeft: boolean,
): Promise<void> {
  const ids = await tenants.ids();
  if (ids.includes(id) || isLeft) return;
  const hint = didYouMean(id, ids);
  const reason = `there is no tenant "${id}"${hint === "" ? "" : `, ${hint}`}`;
  throw new PortcullisError("tenant_unknown", { reason });
}
