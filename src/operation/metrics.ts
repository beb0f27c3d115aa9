import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ErrorCode } from "../lib/errors.ts";

/** Latency buckets in seconds, from a cached decision to a slow upstream. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** A scraper asks every few seconds at most. */
const KEPT_MS = 250;

export interface Metrics {
  /** One decided request. Labels are closed sets: no name a client chose becomes a series. */
  decided(server: string, method: string, code: ErrorCode | "ok"): void;
  /** One forwarded request that ended. */
  forwarded(upstream: string, status: ErrorCode | "ok" | "input_required", seconds: number): void;
  sessions(count: () => number): void;
  text(): Promise<string>;
}

/** Prometheus metrics in a registry of their own, so that two gateways in one process do not mix. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const decisions = new Counter({
    name: "portcullis_decisions_total",
    help: "Decided requests, by virtual server, method and code.",
    labelNames: ["server", "method", "code"],
    registers: [registry],
  });
  const forwards = new Histogram({
    name: "portcullis_upstream_seconds",
    help: "From forwarding a request to its answer, by upstream and status.",
    labelNames: ["upstream", "status"],
    buckets: SECONDS,
    registers: [registry],
  });
  // A series is looked up by its labels once: doing so for each call costs as much as deciding it.
  const decisionSeries = new Map<string, Counter.Internal>();
  const forwardSeries = new Map<string, Histogram.Internal<string>>();
  return {
    decided(server, method, code) {
      const key = `${server} ${method} ${code}`;
      keep(decisionSeries, key, () => decisions.labels({ server, method, code })).inc();
    },
    forwarded(upstream, status, seconds) {
      const key = `${upstream} ${status}`;
      keep(forwardSeries, key, () => forwards.labels({ upstream, status })).observe(seconds);
    },
    sessions(count) {
      new Gauge({
        name: "portcullis_sessions",
        help: "Open legacy client sessions.",
        registers: [registry],
        collect() {
          this.set(count());
        },
      });
    },
    text: shared(() => registry.metrics()),
  };
}

/** Rendering takes milliseconds of the one thread, and anybody may ask: all who do within a moment get the same. */
function shared(render: () => Promise<string>): () => Promise<string> {
  let rendered: Promise<string> | null = null;
  const forget = () => {
    rendered = null;
  };
  return () => {
    rendered ??= render().finally(() => setTimeout(forget, KEPT_MS).unref());
    return rendered;
  };
}

function keep<Series>(known: Map<string, Series>, key: string, make: () => Series): Series {
  let series = known.get(key);
  if (series === undefined) {
    series = make();
    known.set(key, series);
  }
  return series;
}
