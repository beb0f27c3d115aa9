import type { ListedKind, Target } from "../domain.ts";
import type { JsonObject } from "../lib/json.ts";
import { scalarIn } from "../lib/members.ts";
import { readUri } from "../lib/uri.ts";
import { readTemplate, type UriTemplate } from "../lib/uri-template.ts";

/** Where a URI leads. */
export interface ResourceAddress {
  readonly upstream: string;
  /** What is forwarded: in the upstream's own words. */
  readonly uri: string;
  /** Every target that it matches, a template with its variables as arguments; never empty. */
  readonly matches: readonly Match[];
}

interface Match {
  readonly target: Target;
  readonly arguments: JsonObject;
}

/** What the upstream announces and must not be reached, by what it is known by. */
export interface Withheld {
  readonly kind: ListedKind;
  readonly name: string;
}

/** The resources of one upstream by URI. */
export interface Addresses {
  /** `uri` in the upstream's words, as a caller writes it. */
  find(uri: string): ResourceAddress | undefined;
  /** How many characters it takes to match it, a canonical URI. */
  effort(uri: string): number;
}

interface Parts {
  readonly upstream: string;
  readonly resources: readonly Target[];
  readonly templates: readonly Target[];
  readonly withheld: readonly Withheld[];
  /** The target of a URI that nothing listed matches, by its canonical spelling. */
  unannounced(uri: string): Target;
}

/**
 * A URI is decided under all that it matches. What an upstream might take for something that is listed, though it is
 * not written like it, leads nowhere: else a second spelling would be a way around what policy says of the first.
 */
export function createAddresses({ upstream, resources, templates, withheld, unannounced }: Parts): Addresses {
  const listed = new Map(resources.map((target) => [target.name, target]));
  const read = templates.map((target) => ({ target, template: templateOf(target.name) }));
  const closed = closedBy(withheld);
  const folds = new Set([...listed.keys(), ...closed.uris].map(fold));

  function findListed(uri: string, target: Target): ResourceAddress | undefined {
    const matches: Match[] = [{ target, arguments: {} }];
    for (const { target: other, template } of read) {
      const match = template?.match(uri);
      if (match === undefined) continue;
      if (match.values === undefined) return undefined;
      matches.push({ target: other, arguments: match.values });
    }
    return { upstream, uri: spelling(target), matches };
  }

  function findOther(uri: string): ResourceAddress | undefined {
    const wholes = wholesOf(uri);
    if (wholes.some((whole) => closed.uris.has(whole))) return undefined;
    if ([uri, ...wholes].some((one) => folds.has(fold(one)) && !listed.has(one))) return undefined;
    const matches: Match[] = wholes.flatMap((whole) => {
      const target = listed.get(whole);
      return target === undefined ? [] : [{ target, arguments: {} }];
    });
    let words: string | undefined;
    for (const { target, template } of read) {
      const match = template?.match(uri);
      if (match === undefined) continue;
      if (!match.exact) return undefined;
      words ??= match.uri;
      matches.push({ target, arguments: match.values });
    }
    if (matches.length > 0) return { upstream, uri: words ?? uri, matches };
    if (closed.prefixes.some((prefix) => fold(uri).startsWith(prefix))) return undefined;
    return { upstream, uri, matches: [{ target: unannounced(uri), arguments: {} }] };
  }

  const effort = (uri: string) =>
    (read.filter(({ template }) => uri.startsWith(template?.prefix ?? "")).length + closed.templates.length) *
    uri.length;

  function findAny(uri: string): ResourceAddress | undefined {
    if (effort(uri) > MAX_EFFORT) return undefined;
    if (closed.uris.has(uri) || closed.templates.some((one) => one.match(uri) !== undefined))
      return undefined;
    const target = listed.get(uri);
    return target === undefined ? findOther(uri) : findListed(uri, target);
  }

  /** Of what is listed: each list asks for all of them. */
  const known = new Map<string, ResourceAddress | undefined>();

  return {
    effort,
    find(given) {
      const canonical = readUri(given);
      if (!canonical.ok) return undefined;
      const { uri } = canonical;
      if (!listed.has(uri)) return findAny(uri);
      if (!known.has(uri)) known.set(uri, findAny(uri));
      return known.get(uri);
    },
  };
}

/** One URI is matched against no more than so many characters: tens of milliseconds. */
const MAX_EFFORT = 1 << 17;

interface Closed {
  readonly uris: ReadonlySet<string>;
  readonly templates: readonly UriTemplate[];
  /** Of templates that cannot be read: how what they match begins, folded. */
  readonly prefixes: readonly string[];
}

function closedBy(withheld: readonly Withheld[]): Closed {
  const names = (kind: ListedKind) => withheld.flatMap((one) => (one.kind === kind ? [one.name] : []));
  const templates = names("template").map((name) => ({ name, template: templateOf(name) }));
  return {
    uris: new Set(names("resource")),
    templates: templates.flatMap(({ template }) => template ?? []),
    prefixes: templates.flatMap(({ name, template }) =>
      template === undefined ? [fold(name.split("{", 1)[0] ?? "")] : [],
    ),
  };
}

function templateOf(name: string): UriTemplate | undefined {
  const read = readTemplate(name);
  return read.ok ? read.template : undefined;
}

/** Less its fragment, and less its query: to many servers the same resource. */
function wholesOf(uri: string): readonly string[] {
  const [whole = ""] = uri.split("#", 1);
  const [path = ""] = whole.split("?", 1);
  return [...new Set([whole, path])].filter((one) => one !== uri);
}

/** Equal for what a server that does not tell cases apart takes for the same. */
function fold(uri: string): string {
  return uri.toLowerCase();
}

/** As it is listed: the upstream may know no other spelling. */
function spelling({ definition, name }: Target): string {
  const uri = scalarIn(definition.get("uri"));
  return typeof uri === "string" ? uri : name;
}
