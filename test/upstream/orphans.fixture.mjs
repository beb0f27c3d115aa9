// A gateway's stdio upstream in a process of its own. Prints the pids of a child and what that has started.
// usage: node orphans.fixture.mjs DIST CHILD
const [, , dist, child] = process.argv;
const { createStdioUpstream } = await import(`${dist}/upstream/stdio.js`);
const { createOrphanGuard } = await import(`${dist}/upstream/orphans.js`);

const silent = () => {};
const log = { debug: silent, info: silent, warn: silent, error: silent };
const upstream = createStdioUpstream({
  name: "stubborn",
  command: process.execPath,
  args: [child],
  env: {},
  era: "legacy",
  isolation: "user",
  clientInfo: { name: "portcullis", version: "test" },
  orphans: createOrphanGuard(log),
  log,
  clock: Date.now,
});
for (const user of ["ann", "bob"]) {
  const answer = await upstream.request({
    method: "tools/call",
    params: { name: "pids", arguments: {} },
    sessionKey: user,
    who: { tenant: "acme", user },
    clientInfo: null,
    decisionId: "",
    credential: new Map(),
    signal: new AbortController().signal,
    timeoutMs: 20_000,
  });
  process.stdout.write(`${JSON.parse(answer.text).pids.join(" ")}\n`);
}
