import { createHash } from "node:crypto";

/** One HTML page and its headers: no script, nothing from elsewhere, in no frame. */
export interface Page {
  readonly headers: Readonly<Record<string, string>>;
  readonly html: string;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5d6878; --line: #d9dee6; --paper: #fff; --back: #f3f5f8; --mark: #2456c7 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --soft: #9aa6b6; --line: #343d4b; --paper: #1b212b; --back: #12161d; --mark: #86aaff } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { width: min(30rem, 100%); background: var(--paper); border: 1px solid var(--line); border-radius: 14px; padding: 2rem }
h1 { margin: 0 0 .75rem; font-size: 1.3rem; line-height: 1.3; overflow-wrap: anywhere }
p { margin: 0 0 1rem; color: var(--soft); overflow-wrap: anywhere }
code { color: var(--ink); font-size: .9em }
form { display: grid; gap: .6rem; margin-top: 1.5rem }
button { display: grid; gap: .1rem; width: 100%; padding: .7rem 1rem; text-align: left; font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: 10px; cursor: pointer }
button:hover, button:focus-visible { border-color: var(--mark); outline: 2px solid var(--mark); outline-offset: -1px }
button small { color: var(--soft) }
button.quiet { border: 0; text-align: center; color: var(--soft) }
`;
const STYLE_SOURCE = `'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`;

/**
 * @param body markup, every value in it `escaped`
 * @param formAction sources of CSP `form-action`; browsers apply it to the redirect that follows, too
 */
export function page(title: string, body: string, formAction: string): Page {
  const policy = `default-src 'none'; style-src ${STYLE_SOURCE}; form-action ${formAction}; frame-ancestors 'none'; base-uri 'none'`;
  return {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy,
      "cache-control": "no-store",
      // Not "no-referrer": with that, browsers send `Origin: null` with the page's own forms.
      "referrer-policy": "same-origin",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    },
    html: `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>
`,
  };
}

/** Text for markup, in an element or in a quoted attribute. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
