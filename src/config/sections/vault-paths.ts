import { z } from "zod";

const LITERAL = "[A-Za-z0-9._@=-]";
const VARIABLE = "\\{(?:tenant|subject|role)\\}";
/** Never a segment that begins with a dot: no `..`. */
const SEGMENT = `(?:[A-Za-z0-9]|${VARIABLE})(?:${LITERAL}|${VARIABLE})*`;
const PATH = `${SEGMENT}(?:/${SEGMENT})*`;

/** Segments of letters, digits and `._@=-`, with slashes between. */
export const vaultPath = z
  .string()
  .max(512)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@=-]*(\/[A-Za-z0-9][A-Za-z0-9._@=-]*)*$/, "not a path of Vault");

/** The same with `{tenant}`, `{subject}` and `{role}`. */
export const pathTemplate = template(
  new RegExp(`^${PATH}$`),
  "not a path of Vault; variables are {tenant}, {subject} and {role}",
);

export const uriTemplate = template(
  new RegExp(`^[a-z][a-z0-9+.-]*://${PATH}$`),
  "not a URI; variables are {tenant}, {subject} and {role}",
);

function template(shape: RegExp, otherwise: string) {
  return z
    .string()
    .max(512)
    .regex(shape, otherwise)
    .superRefine((text, context) => {
      const found = shape.test(text) ? ambiguityIn(text) : undefined;
      if (found === undefined) return;
      const { message, hint } = found;
      context.addIssue({ code: "custom", message, params: { hint } });
    });
}

/** No tenant's id has a dot, so that the first one ends it. */
const TENANT_FIRST = new RegExp(`^${LITERAL}*\\{tenant\\}(?:\\.|$)`);

/**
 * Two principals must never fill a template to the same text: `{tenant}-{subject}` is `acme-eu-ann` for ann of acme-eu
 * and for eu-ann of acme. Subjects and roles may hold whatever a segment may, so that only a slash ends one.
 */
function ambiguityIn(text: string): { readonly message: string; readonly hint: string } | undefined {
  for (const segment of text.split("/")) {
    if (segment.includes("{tenant}") && !TENANT_FIRST.test(segment)) {
      return {
        message: `"${segment}" could be one text for two tenants: a dot, a slash or the end has to follow {tenant}`,
        hint: "write {tenant}.{subject}, or {tenant}/{subject}",
      };
    }
    if ((segment.match(/\{(subject|role)\}/g) ?? []).length > 1) {
      return {
        message: `"${segment}" could be one text for two users: only a slash ends {subject} or {role}`,
        hint: "write {subject}/{role}, or leave one out",
      };
    }
  }
  return undefined;
}
