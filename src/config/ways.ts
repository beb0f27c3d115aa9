import type { Finding } from "./problems.ts";
import type { ParsedConfig } from "./schema.ts";
import type { DeepReadonly } from "./values.ts";

type Parsed = DeepReadonly<ParsedConfig>;
type Source = Parsed["credentials"][string];
type Upstream = Parsed["upstreams"][string];
type Way = "header" | "env" | "certificate";
type Fault = Pick<Finding, "code" | "message"> & { readonly hint: string };

/** A secret of which a part cannot travel to its upstream would leave the call without it. */
export function waysBarred({ credentials, upstreams }: Parsed): Finding[] {
  return Object.entries(credentials).flatMap(([source, given]) =>
    given.upstreams.flatMap((name, index) => {
      const path = ["credentials", source, "upstreams", index];
      const upstream = upstreams[name];
      if (upstream === undefined) return [];
      return waysOf(given).flatMap((way): Finding[] => {
        const fault = faultOf(way, given, name, upstream);
        return fault === null ? [] : [{ ...fault, path }];
      });
    }),
  );
}

/** Everything in which a secret of this source travels. */
export function waysOf(source: Source): readonly Way[] {
  if (source.type === "none") return [];
  if (!("inject" in source)) return ["header"];
  const { header, env } = source.inject;
  const ways: Way[] = [];
  if (header !== undefined) ways.push("header");
  if (env !== undefined) ways.push("env");
  else if (source.type === "vault-pki") ways.push("certificate");
  return ways;
}

/** null: it arrives. */
function faultOf(way: Way, source: Source, name: string, upstream: Upstream): Fault | null {
  if (upstream.transport === "stdio" && way !== "env") {
    const hint =
      "inject" in source
        ? `write inject: {env: {VARIABLE: field}} alone, and isolation: lease at upstreams.${name}`
        : `${source.type} travels in a header: name an upstream with a url, or use a vault's source with inject.env`;
    return conflict(`"${name}" is a process: a secret can only reach it in its environment`, hint);
  }
  if (upstream.transport === "stdio" && upstream.isolation !== "lease")
    return conflict(
      `the processes of "${name}" are not held apart by lease: others would share the secret`,
      `write isolation: lease at upstreams.${name}`,
    );
  if (upstream.transport === "http" && way === "env")
    return conflict(`"${name}" has a url: no environment reaches it`, "leave inject.env out");
  if (upstream.transport === "http" && way === "certificate" && !upstream.url.startsWith("https:"))
    return conflict(`"${name}" has no TLS, and so no client certificates`, "write an https:// URL there");
  return null;
}

function conflict(message: string, hint: string): Fault {
  return { code: "conflict", message, hint };
}
