import type { DecisionEntry, DecisionInputs, InputEntry, Target } from "../domain.ts";
import { joinMembers } from "../lib/members.ts";

/** Digests that are remembered as written. Past it they are written again, which harms nobody. */
const MAX_DIGESTS = 65_536;

/** Which inputs the current segment holds already. */
export interface Inputs {
  /** The lines' members that have to stand before this entry's record, as JSON text with a comma before each. */
  missing(entry: DecisionEntry, inputs: DecisionInputs): Iterable<string>;
  /** A segment begins: it holds none. */
  clear(): void;
}

/** @param digests of the inputs that the current segment holds */
export function createInputs(digests: Iterable<string>): Inputs {
  const written = new Set(digests);

  return {
    missing({ tenant_sha256 }, { tenant, targets = [] }) {
      const texts = new Map<string, string>();
      if (tenant !== undefined && tenant_sha256 !== undefined && !written.has(tenant_sha256))
        texts.set(tenant_sha256, inputText("tenant", tenant_sha256, JSON.stringify(tenant)));
      for (const target of targets)
        if (!written.has(target.digest))
          texts.set(target.digest, inputText("target", target.digest, targetText(target)));
      // Only now: had one of them thrown, none would be written.
      if (written.size + texts.size > MAX_DIGESTS) written.clear();
      for (const sha256 of texts.keys()) written.add(sha256);
      return texts.values();
    },
    clear: () => written.clear(),
  };
}

function inputText(kind: InputEntry["kind"], sha256: string, value: string): string {
  return `,"phase":"input","kind":"${kind}","sha256":${JSON.stringify(sha256)},"value":${value}`;
}

/** What policy saw of it, and the definition as its upstream sent it: integers beyond 2^53 are in it as they came. */
function targetText(target: Target): string {
  const { upstream, kind, name, labels, announced, inputSchema, definition } = target;
  const seen = {
    upstream,
    kind,
    name,
    labels,
    announced,
    ...(!definition.has("inputSchema") && { inputSchema }),
  };
  // A line break within the definition is space between its tokens: within a text JSON has it escaped.
  const announcedText = joinMembers(definition).replaceAll(/[\r\n]/g, " ");
  return `${JSON.stringify(seen).slice(0, -1)},"definition":${announcedText}}`;
}
