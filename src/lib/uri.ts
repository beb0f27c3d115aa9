/** A URI in its canonical spelling, or why it is none that is handled. */
export type UriReading =
  | { readonly ok: true; readonly uri: string }
  | { readonly ok: false; readonly reason: string };

const MAX_URI = 2048;
const PARTS = /^([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?$/;
const CHARACTERS = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*$/;
const HOST = /^(?:\[[0-9A-Fa-fv:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?$/;
/** Schemes whose authority is a host of the network or a machine; elsewhere it is often an id, whose case counts. */
const DEFAULT_PORTS: ReadonlyMap<string, string> = new Map([
  ["http", ":80"],
  ["https", ":443"],
  ["ws", ":80"],
  ["wss", ":443"],
  ["ftp", ":21"],
  ["file", ""],
]);

/**
 * Reads an absolute URI (RFC 3986) into one spelling for all that are equivalent by its section 6.2.2: case of scheme,
 * host and percent-encoding, needless percent-encoding, dot segments; and default ports and `file://localhost` of
 * 6.2.3. Characters beyond ASCII count as percent-encoded UTF-8 (RFC 3987 section 3.1).
 *
 * Refused: what is relative, longer than 2048 characters, or carries user information; and what readers could take
 * for another path than it says: NUL, octets that are no UTF-8, and dot segments that only further decoding shows.
 */
export function readUri(text: string): UriReading {
  if (text.length > MAX_URI) return refused(`it is longer than ${MAX_URI} characters`);
  if (/\p{Cc}/u.test(text)) return refused("it holds a control character");
  const ascii = percentEncoded(text);
  const parts = ascii === undefined ? null : PARTS.exec(ascii);
  if (parts === null) return refused("it is no absolute URI");
  const [, given = "", authority, path = "", query = "", fragment = ""] = parts;
  if (authority?.includes("@")) return refused("it holds user information");
  if (!HOST.test(authority ?? "")) return refused("its host or port is invalid");
  const rest = bracketsEncoded(path + query + fragment);
  if (!CHARACTERS.test(rest.replace("#", ""))) return refused("it holds a character that no URI may hold");
  if (!isText(ascii ?? "")) return refused("what it percent-encodes is not UTF-8, or holds NUL");

  const scheme = given.toLowerCase();
  const host = authority === undefined ? "" : `//${hostOf(scheme, authority)}`;
  const clean = pathOf(scheme, bracketsEncoded(path), host !== "");
  if (clean === undefined) return refused("its path holds dot segments in disguise");
  const tail = normalised(bracketsEncoded(query + fragment));
  if (hasDots(tail.split("/"))) return refused("its query holds dot segments");
  const uri = `${scheme}:${host}${clean}${tail}`;
  return uri.length > MAX_URI ? refused(`it is longer than ${MAX_URI} characters`) : { ok: true, uri };
}

/**
 * A part of a URI or of a template in its canonical spelling, but for case of scheme and host and dot segments.
 * Undefined where it holds a lone surrogate.
 */
export function canonicalPart(text: string): string | undefined {
  const ascii = percentEncoded(text);
  return ascii === undefined ? undefined : normalised(bracketsEncoded(ascii));
}

/** The canonical scheme and authority of what begins with them. */
export function canonicalOrigin(scheme: string, authority: string): string {
  const lower = scheme.toLowerCase();
  return `${lower}:${DEFAULT_PORTS.has(lower) ? authority.toLowerCase() : authority}`;
}

/** Every octet of ASCII that is percent-encoded, however often it is. */
export function fullyDecoded(text: string): string {
  for (let before = text; ; ) {
    const after = before.replace(/%[0-7][0-9A-Fa-f]/g, (triplet) => decodeURIComponent(triplet));
    if (after === before) return after;
    before = after;
  }
}

function percentEncoded(text: string): string | undefined {
  try {
    return text.replace(/[^\0-\x7f]+/g, encodeURIComponent);
  } catch {
    return undefined;
  }
}

/** Outside of a host brackets mean nothing, and many readers leave them as they are. */
function bracketsEncoded(text: string): string {
  return text.replaceAll("[", "%5B").replaceAll("]", "%5D");
}

function isText(encoded: string): boolean {
  try {
    return !decodeURIComponent(encoded).includes("\0");
  } catch {
    return false;
  }
}

function normalised(text: string): string {
  return text.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
    return /[A-Za-z0-9\-._~]/.test(character) ? character : triplet.toUpperCase();
  });
}

function hostOf(scheme: string, authority: string): string {
  const port = DEFAULT_PORTS.get(scheme);
  if (port === undefined) return normalised(authority);
  const host = normalised(normalised(authority).toLowerCase());
  if (scheme === "file" && host === "localhost") return "";
  return port !== "" && host.endsWith(port) ? host.slice(0, -port.length) : host;
}

/** Undefined: dot segments would remain for those who decode it, or decode it again. */
function pathOf(scheme: string, given: string, hasHost: boolean): string | undefined {
  const path = normalised(given);
  const hierarchical = hasHost || path.startsWith("/");
  const clean = hierarchical ? withoutDotSegments(path) : path;
  if (hasDots(fullyDecoded(clean).split(/[/\\]/))) return undefined;
  // Without an authority, a path must not begin like one.
  if (!hasHost && clean.startsWith("//")) return undefined;
  return clean === "" && hasHost && DEFAULT_PORTS.get(scheme) ? "/" : clean;
}

/** RFC 3986 section 5.2.4, for a path that is empty or begins with a slash. */
function withoutDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/");
  for (const [at, segment] of segments.entries()) {
    if (segment !== "." && segment !== "..") kept.push(segment);
    else {
      if (segment === ".." && kept.length > 1) kept.pop();
      if (at === segments.length - 1) kept.push("");
    }
  }
  return kept.join("/");
}

function hasDots(segments: readonly string[]): boolean {
  return segments.some((segment) => segment === "." || segment === "..");
}

function refused(reason: string): UriReading {
  return { ok: false, reason };
}
