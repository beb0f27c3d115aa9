import type { Layer } from "../domain.ts";
import { canonicalJson, digest, type Json, type JsonObject, sha256 } from "../lib/json.ts";
import { inputSchema } from "./input-schema.ts";
import { judged, type Unjudged } from "./pattern-problems.ts";
import { beyondLimits } from "./toolchain-limits.ts";
import { createToolchainProcess } from "./toolchain-process.ts";
import type {
  BuildResult,
  BuiltPolicy,
  CheckResult,
  DepsReport,
  EvalReport,
  EvalRequest,
  InspectReport,
  Outcome,
  PolicyFacts,
  PolicySources,
  Problem,
  TestOptions,
  TestReport,
  Trial,
} from "./toolchain-types.ts";

export type * from "./toolchain-types.ts";

export interface ToolchainOptions {
  /** Milliseconds that one request may take; default 20,000. */
  readonly deadlineMs?: number;
  /** The same for `test`; default 60,000. */
  readonly testDeadlineMs?: number;
  /** Milliseconds without work after which its process is ended; default 30,000. */
  readonly idleMs?: number;
}

/** OPA's own compiler, tester and evaluator. A request that is cut or crashes is a problem, never a hung process. */
export interface Toolchain {
  /** Compiles policies and tests and checks the contract. */
  check(sources: PolicySources): Promise<CheckResult>;
  build(sources: PolicySources): Promise<BuildResult>;
  /** Runs the `test_` rules of the `_test.rego` files. */
  test(sources: PolicySources, options?: TestOptions): Promise<Outcome<{ readonly report: TestReport }>>;
  /** Compiles tests, named as `data.authz_test.test_x`, as `build` compiles policies. */
  trial(sources: PolicySources, tests: readonly string[]): Promise<Outcome<{ readonly trial: Trial }>>;
  /** Evaluates with OPA's own evaluator, tests included in the sources' scope. */
  eval(sources: PolicySources, request: EvalRequest): Promise<Outcome<{ readonly report: EvalReport }>>;
  /** Formatted sources of the files that formatting changes. */
  fmt(
    files: PolicySources["files"],
  ): Promise<Outcome<{ readonly changed: Readonly<Record<string, string>> }>>;
  inspect(sources: PolicySources): Promise<Outcome<{ readonly report: InspectReport }>>;
  /** What a query such as `data.authz.grant` reads. */
  deps(sources: PolicySources, query: string): Promise<Outcome<{ readonly report: DepsReport }>>;
  close(): Promise<void>;
}

/** What every verb answers. */
interface Response<T, Found = Problem> {
  readonly ok: boolean;
  readonly problems: readonly Found[];
  readonly result?: T;
}

export function createToolchain(options: ToolchainOptions = {}): Toolchain {
  const { deadlineMs = 20_000, testDeadlineMs = 60_000, idleMs = 30_000 } = options;
  const toolchain = createToolchainProcess(idleMs);

  async function ask<T>(request: Request, ms = deadlineMs, now: bigint | null = null): Promise<Response<T>> {
    const excess = beyondLimits(request);
    if (excess) return { ok: false, problems: [excess] };
    const answer = await toolchain.ask(JSON.stringify(request), ms, now);
    if (!answer.ok) return { ok: false, problems: [answer.problem] };
    const told = JSON.parse(answer.text) as Response<T, Problem | Unjudged>;
    const { wasm = null } = (told.result ?? {}) as Partial<Built>;
    const problems = await judged(told.problems, wasm);
    return { ...told, ok: told.ok && problems.every(({ severity }) => severity !== "error"), problems };
  }

  async function report<T>(request: Request, ms?: number, now?: bigint): Promise<Outcome<T>> {
    const { ok, problems, result } = await ask<T>(request, ms, now);
    return ok && result !== undefined ? { ok: true, ...result } : { ok: false, problems };
  }

  return {
    async check(sources) {
      const { ok, problems } = await ask({ verb: "check", ...requestOf(sources) });
      return { ok, problems };
    },
    async build(sources) {
      const { ok, problems, result } = await ask<Omit<Built, "warnings">>({
        verb: "build",
        ...requestOf(sources),
      });
      if (!ok || result === undefined) return { ok: false, problems };
      return { ok: true, policy: builtPolicy({ ...result, warnings: problems }, sources.data) };
    },
    test: (sources, { run = "", coverage = false, now } = {}) =>
      report({ verb: "test", ...requestOf(sources), run, coverage }, testDeadlineMs, now),
    trial: (sources, tests) => report({ verb: "trial", ...requestOf(sources), tests }),
    eval: (sources, { query = "", input, now }) =>
      report({ verb: "eval", ...requestOf(sources), query, input }, deadlineMs, now),
    fmt: (files) => report({ verb: "fmt", files }),
    inspect: (sources) => report({ verb: "inspect", ...requestOf(sources) }),
    deps: (sources, query) => report({ verb: "deps", ...requestOf(sources), query }),
    close: () => toolchain.close(),
  };
}

interface Request {
  readonly verb: string;
  readonly files: PolicySources["files"];
  readonly data?: JsonObject;
  readonly schema?: JsonObject;
  readonly query?: string;
  readonly input?: Json;
  readonly run?: string;
  readonly coverage?: boolean;
  readonly tests?: readonly string[];
}

/** All of the sources that a verb's answer depends on. */
export function requestOf({ files, data, tenantSchema }: PolicySources): Omit<Request, "verb"> {
  return { files, data, schema: inputSchema(tenantSchema) };
}

/** What a build gives, as text. */
export interface Built {
  /** Base64. */
  readonly wasm: string;
  readonly facts: PolicyFacts;
  readonly warnings: readonly Problem[];
}

/** What of a build's problems is meant for a layer: a tenant's own may do no more than narrow. */
export function meantFor(layer: Layer, problems: readonly Problem[]): readonly Problem[] {
  return layer === "platform" ? problems : problems.filter(({ code }) => code !== "nothing_granted");
}

export function builtPolicy({ wasm: base64, facts, warnings }: Built, data: JsonObject): BuiltPolicy {
  const wasm = new Uint8Array(Buffer.from(base64, "base64"));
  const identity = {
    wasm: sha256(wasm),
    data: digest(data),
    facts: JSON.parse(JSON.stringify(facts)) as Json,
  };
  return { wasm, sha256: sha256(canonicalJson(identity)), data, facts, warnings };
}
