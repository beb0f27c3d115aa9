import type { Capability, Layer, PolicyContext, PolicyTarget } from "../domain.ts";
import { messageOf } from "../lib/errors.ts";
import { canonicalJson, isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { weightOf } from "../lib/weight.ts";
import { type Parsed, parseGrant, parseLimit } from "./answers.ts";
import type { Program } from "./instance.ts";
import type { Allowance, Evaluation, InstancePool } from "./instance-pool.ts";
import { createProjector, fitJson, type InputLimits, type Projector, remembered } from "./projection.ts";
import type { BuiltPolicy, Path, PolicyFacts } from "./toolchain-types.ts";

/** One layer's policies with their data, ready to be asked. */
export interface PolicyLayer {
  /** Digest of the policies and data. */
  readonly revision: string;
  readonly facts: PolicyFacts;
  /** The context as this layer's capability rules see it, but for the clock builtins. Never throws. */
  contextText(context: PolicyContext): string;
  /** One answer per target, in order. Never throws: what cannot be decided is closed. */
  capabilities(context: PolicyContext, targets: readonly PolicyTarget[]): readonly Capability[];
  /** Which of the named requirements hold; none when that cannot be established. Never throws. */
  holding(context: PolicyContext, target: PolicyTarget, args: JsonObject, names: readonly string[]): Held;
}

export interface Held {
  readonly holding: readonly string[];
  /** Why none was established, or null. */
  readonly fault: string | null;
}

interface LayerParts {
  readonly layer: Layer;
  readonly policy: Pick<BuiltPolicy, "sha256" | "facts">;
  readonly program: Program;
  readonly pool: InstancePool;
  readonly limits: InputLimits;
}

/** The text of a part of the input, or why it is not fit to be one. */
type Text = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly fault: string };
type Answers =
  | { readonly ok: true; readonly values: readonly unknown[] }
  | { readonly ok: false; readonly fault: string };

/** Targets of one evaluation: a long list is as many evaluations, each with the whole of an evaluation's allowance. */
const BATCH = 64;
/** After batches failed, their targets together may take this many times what one evaluation may. */
const ONE_BY_ONE = 2;

export function createLayer({ layer, policy, program, pool, limits }: LayerParts): PolicyLayer {
  const { facts, sha256 } = policy;
  const capability = createWriter(facts.reads.capability, limits.inputDepth);
  const holds = createWriter(facts.reads.holds, limits.inputDepth);

  function evaluate(entrypoint: string, text: string, now: number, allowance: Allowance): Evaluation {
    if (Buffer.byteLength(text) > limits.inputBytes)
      return { ok: false, fault: `policy: input over ${limits.inputBytes} bytes` };
    return pool.evaluate(program, `portcullis/${entrypoint}`, text, now, allowance);
  }

  function ask(context: string, texts: readonly string[], now: number, allowance: Allowance): Answers {
    const asked = evaluate("capabilities", `{${context},"targets":[${texts.join(",")}]}`, now, allowance);
    if (!asked.ok) return asked;
    if (Array.isArray(asked.value) && asked.value.length === texts.length)
      return { ok: true, values: asked.value };
    return { ok: false, fault: "policy: the capability is undefined" };
  }

  /** A target that the evaluation dies of must not take the others with it. @param alone for one target at a time */
  function batch(context: string, texts: readonly string[], now: number, alone: Allowance): Capability[] {
    const together = ask(context, texts, now, { steps: program.limits.steps });
    if (together.ok) return together.values.map((value) => readCapability(value, layer));
    if (texts.length === 1) return [closed(together.fault)];
    return texts.map((text) => {
      const one = ask(context, [text], now, alone);
      return one.ok ? readCapability(one.values[0], layer) : closed(one.fault);
    });
  }

  function answers(context: string, texts: readonly string[], now: number): Capability[] {
    const alone = { steps: ONE_BY_ONE * program.limits.steps };
    const batches = Math.ceil(texts.length / BATCH);
    return Array.from({ length: batches }, (_, at) =>
      batch(context, texts.slice(at * BATCH, (at + 1) * BATCH), now, alone),
    ).flat();
  }

  return {
    revision: sha256,
    facts,
    contextText: (context) => {
      const text = capability.context(context);
      return text.ok ? text.text : text.fault;
    },
    capabilities: (context, targets) => {
      const head = capability.context(context);
      if (!head.ok) return targets.map(() => closed(head.fault));
      const texts = targets.map(capability.target);
      const fit = texts.flatMap((text) => (text.ok ? [text.text] : []));
      const decided = answers(head.text, fit, context.now);
      let next = 0;
      return texts.map((text) => (text.ok ? (decided[next++] as Capability) : closed(text.fault)));
    },
    holding: (context, target, args, names) => {
      const text = holds.call(context, target, args, names);
      if (!text.ok) return { holding: [], fault: text.fault };
      const asked = evaluate("requirements", text.text, context.now, { steps: program.limits.steps });
      if (!asked.ok) return { holding: [], fault: asked.fault };
      if (!Array.isArray(asked.value))
        return { holding: [], fault: "policy: the requirements are undefined" };
      const held: readonly unknown[] = asked.value;
      return { holding: names.filter((name) => held.includes(name)), fault: null };
    },
  };
}

/** Writes the input of one entrypoint, projected to what its rules read. */
function createWriter(reads: readonly Path[], depth: number) {
  const projector = (member: string) => createProjector(reads, member, depth);
  const principal = remembered(projector("principal"));
  const tenant = remembered(projector("tenant"));
  const target = remembered(targetMembers(projector("target")));
  const time = projector("context");
  const args = projector("arguments");
  const context = (of: PolicyContext) =>
    `"principal":${principal(of.principal)},"tenant":${tenant(of.tenant)},` +
    `"server":${fitJson(of.server, "server", depth)},"context":${time({ now: of.now })}`;
  return {
    context: (of: PolicyContext) => attempt(() => context(of)),
    target: (of: PolicyTarget) => attempt(() => target(of)),
    call: (of: PolicyContext, on: PolicyTarget, given: JsonObject, requires: readonly string[]) =>
      attempt(
        () =>
          `{${context(of)},"target":${target(on)},"arguments":${args(given)},"requires":${JSON.stringify(requires)}}`,
      ),
  };
}

/** A pinned target carries more than policy may see, should a rule read it whole. */
function targetMembers(projector: Projector): (target: PolicyTarget) => string {
  return ({ upstream, kind, name, labels, announced }) =>
    projector({ upstream, kind, name, labels, announced });
}

function attempt(write: () => string): Text {
  try {
    return { ok: true, text: write() };
  } catch (thrown) {
    return { ok: false, fault: messageOf(thrown) };
  }
}

function closed(fault: string): Capability {
  return { grants: [], limits: [], denials: [fault], faults: [fault] };
}

/** Of what policy says of one target: it is compared, merged, listed and kept for each principal. */
const MAX_WEIGHT = 1 << 20;

/** A malformed grant is dropped; a malformed limit or denial closes the target: what it meant to forbid is not known. */
function readCapability(value: unknown, layer: Layer): Capability {
  const { grants, limits, denials } = isJsonObject(value) ? value : ({} as JsonObject);
  if (!Array.isArray(grants) || !Array.isArray(limits) || !Array.isArray(denials)) {
    return closed("policy: the answer is not a capability");
  }
  if (weightOf(value as Json, MAX_WEIGHT) > MAX_WEIGHT)
    return closed(`policy: the grants, limits and denials of one target take over ${MAX_WEIGHT} bytes`);
  const given = parseEach(grants, (one) => parseGrant(one, layer));
  const limited = parseEach(limits, (one) => parseLimit(one, layer));
  const texts = denials.filter((denial) => typeof denial === "string").sort();
  const unread = denials.filter((denial) => typeof denial !== "string").map(() => "denial must be a text");
  return {
    grants: given.parsed,
    limits: limited.parsed,
    denials: [...texts, ...limited.faults, ...unread],
    faults: [...given.faults, ...limited.faults, ...unread],
  };
}

function parseEach<T>(values: readonly Json[], parse: (value: Json) => Parsed<T>) {
  const parsed: T[] = [];
  const faults: string[] = [];
  for (const value of sorted(values)) {
    const result = hasInexactNumber(value)
      ? { ok: false as const, fault: "a number beyond 2^53 would be rounded" }
      : parse(value);
    if (result.ok) parsed.push(result.value);
    else faults.push(result.fault);
  }
  return { parsed, faults };
}

/** Sets come out of the module in an order of its own. */
function sorted(values: readonly Json[]): readonly Json[] {
  if (values.length < 2) return values;
  const keyed = values.map((value) => ({ value, key: canonicalJson(value) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ value }) => value);
}

/** The module counts exactly, JSON.parse does not: an id in a bound must not become its neighbour. */
function hasInexactNumber(value: Json): boolean {
  if (typeof value === "number") return Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return typeof value === "object" && value !== null && Object.values(value).some(hasInexactNumber);
}
