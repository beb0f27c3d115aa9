import { Worker } from "node:worker_threads";
import { afterEach, expect, test } from "vitest";
import { createHelper, HelperFailure, HelperTimeout } from "../../src/policy/helper.ts";

/** Answers with what it was asked and how often it was; "die", "throw" and "hang" it does, and talks before an answer. */
const CODE = `
const { parentPort, threadId } = require("node:worker_threads");
let asked = 0;
parentPort.on("message", (question) => {
  if (question === "die") process.exit();
  if (question === "throw") throw new Error("it threw");
  if (question === "hang") for (;;);
  parentPort.postMessage("by the way");
  parentPort.postMessage({ question, asked: ++asked });
});`;

interface Answer {
  readonly question: string;
  readonly asked: number;
}

let workers: Worker[] = [];
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.terminate()));
  workers = [];
});

function aHelper({ idleMs = 60_000, isSpent = (_: Answer): boolean => false } = {}) {
  return createHelper<string, Answer>({
    name: "the worker",
    start() {
      const worker = new Worker(CODE, { eval: true });
      workers.push(worker);
      worker.on("exit", () => ended.add(worker));
      return {
        events: worker,
        send: (question) => worker.postMessage(question),
        hold: (held) => (held ? worker.ref() : worker.unref()),
        end: () => worker.terminate(),
      };
    },
    answerIn: (message) => (typeof message === "object" ? (message as Answer) : undefined),
    isSpent,
    idleMs,
  });
}

/** Its id is gone a moment before it says that it has ended. */
const ended = new Set<Worker | undefined>();
const hasEnded = (worker: Worker | undefined) => expect.poll(() => ended.has(worker)).toBe(true);
const ask = (helper: ReturnType<typeof aHelper>, question: string) => helper.ask(question, 20_000);

test("questions at once are answered one by one, by one worker", async () => {
  const helper = aHelper();
  expect(workers).toEqual([]);
  const answers = await Promise.all(["a", "b", "c"].map((question) => ask(helper, question)));
  expect(answers).toEqual([
    { question: "a", asked: 1 },
    { question: "b", asked: 2 },
    { question: "c", asked: 3 },
  ]);
  expect(workers).toHaveLength(1);
  await helper.close();
});

test.each([
  ["die", new HelperFailure("the worker ended before it answered")],
  ["throw", new HelperFailure("it threw")],
])("one that does not answer but %ss fails that question alone", async (question, failure) => {
  const helper = aHelper();
  const answers = await Promise.allSettled(["a", question, "b"].map((one) => ask(helper, one)));
  expect(answers).toMatchObject([
    { value: { asked: 1 } },
    { reason: failure },
    { value: { question: "b", asked: 1 } },
  ]);
  await helper.close();
});

test("one that hangs is cut at its deadline, and ended before the next is started", async () => {
  const helper = aHelper();
  const hanging = helper.ask("hang", 300);
  const next = ask(helper, "next");
  await expect(hanging).rejects.toBeInstanceOf(HelperTimeout);
  expect(ended.has(workers[0])).toBe(true);
  expect(await next).toEqual({ question: "next", asked: 1 });
  await helper.close();
});

test("one that ends between two questions is replaced without a word", async () => {
  const helper = aHelper();
  await ask(helper, "first");
  // Not of itself: an error of the worker's may come here before the answer that it gave first.
  workers[0]?.postMessage("throw");
  await hasEnded(workers[0]);
  expect(await ask(helper, "next")).toEqual({ question: "next", asked: 1 });
  await helper.close();
});

test("one that is spent is replaced, one that is idle is ended", async () => {
  const spent = aHelper({ isSpent: ({ question }) => question === "much" });
  const asked = await Promise.all(["a", "much", "b"].map((one) => ask(spent, one)));
  expect(asked.map((answer) => answer.asked)).toEqual([1, 2, 1]);
  await spent.close();
  const restless = aHelper({ idleMs: 1 });
  await ask(restless, "a");
  await hasEnded(workers.at(-1));
  expect((await ask(restless, "b")).asked).toBe(1);
  await restless.close();
});

test("closing ends it, whatever it is asked", async () => {
  const helper = aHelper();
  const waiting = Promise.allSettled([ask(helper, "hang"), ask(helper, "next")]);
  await expect.poll(() => workers.length).toBe(1);
  await helper.close();
  expect(await waiting).toMatchObject([
    { reason: new HelperFailure("the worker ended before it answered") },
    { reason: { code: "internal" } },
  ]);
  await hasEnded(workers[0]);
});
