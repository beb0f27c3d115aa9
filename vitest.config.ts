import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", "./test/closing-line.ts"],
    exclude: ["dist", "node_modules"],
    // Two cores: more workers only make the real servers in the tests time out.
    maxWorkers: 2,
    // They end what hangs, and promise nothing: a busy machine takes ten times as long as one that is idle.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 120_000 } },
  },
});
