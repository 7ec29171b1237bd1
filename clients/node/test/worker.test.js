import assert from "node:assert/strict";
import { test } from "node:test";

import { Gleaner } from "../support/gleaner.js";

test("a row is worked, and what is printed stays out of the protocol", async () => {
  const gleaner = new Gleaner(
    `await g.run(function ocr(row, item) { console.log("working", item.key); return { total: row.a + 1 }; });`,
  );
  assert.deepEqual(await gleaner.hear(), { type: "hello", version: 1, name: "ocr", in_flight: 1, batch: 1 });
  gleaner.give([7, { a: 1 }]);
  assert.deepEqual(await gleaner.hear(), {
    type: "results",
    results: [{ id: 7, status: "completed", columns: { total: 2 } }],
  });
  gleaner.say({ type: "news" });
  gleaner.say({ type: "shutdown" });
  assert.equal(await gleaner.end(), 0);
  assert.match(gleaner.printed, /working k7/);
});

test("outcomes are told apart", async () => {
  const gleaner = new Gleaner(`await g.run((row) => {
    switch (row.what) {
      case "snooze": return g.snooze(60, "quota", { wholeWorkflow: true });
      case "filtered": return g.filtered("empty", { seen: true });
      case "fail": return g.fail("gone", { retry: false });
      case "after": throw new g.Fail("busy", { after: 5 });
      case "throw": throw new TypeError("odd");
      case "list": return [1];
      case "nan": return { a: NaN };
      case "bigint": return { a: 12345678901234567890n };
      case "large": return { a: "x".repeat(9 << 20) };
    }
  });`);
  await gleaner.hear();
  let id = 0;
  const outcome = async (what) => {
    gleaner.give([id, { what }]);
    const { results } = await gleaner.hear();
    assert.equal(results[0].id, id++);
    return results[0];
  };
  assert.deepEqual(await outcome("snooze"), { id: 0, status: "snoozed", after: 60, reason: "quota", whole_workflow: true });
  assert.deepEqual(await outcome("filtered"), { id: 1, status: "filtered", reason: "empty", columns: { seen: true } });
  assert.deepEqual(await outcome("fail"), { id: 2, status: "failed", error: "gone", retry: false });
  assert.deepEqual(await outcome("after"), { id: 3, status: "failed", error: "busy", after: 5 });
  assert.match((await outcome("throw")).error, /^TypeError: odd \(.*handler\.mjs/);
  const list = await outcome("list");
  assert.deepEqual([list.status, list.retry], ["failed", false]);
  assert.match((await outcome("nan")).error, /NaN has no form in JSON/);
  assert.deepEqual((await outcome("bigint")).columns, { a: "12345678901234567890" });
  assert.match((await outcome("large")).error, /takes \d+ bytes/);
  assert.deepEqual(await outcome("nothing"), { id: 9, status: "completed" });
  assert.equal(await gleaner.end(), 0);
});

test("several are under way at a time, and one can be stopped", async () => {
  const gleaner = new Gleaner(
    `await g.run((row, item) => row.wait
      ? new Promise((_, reject) => item.signal.addEventListener("abort", () => reject(new Error("stopped"))))
      : { done: true }, { inFlight: 2 });`,
    { in_flight: 8 },
  );
  assert.equal((await gleaner.hear()).in_flight, 2);
  gleaner.give([0, { wait: true }]);
  gleaner.give([1, {}]);
  assert.equal((await gleaner.hear()).results[0].id, 1);
  gleaner.say({ type: "cancel", ids: [0, 99] });
  assert.match((await gleaner.hear()).results[0].error, /stopped/);
  assert.equal(await gleaner.end(), 0);
});

test("a batch is answered row by row", async () => {
  const gleaner = new Gleaner(
    `await g.run((rows) => rows.length === 1 ? [] : rows.map((row) => row.a > 1 ? new g.Filtered("big") : { b: row.a }), { batch: 50 });`,
    { batch: 100 },
  );
  assert.equal((await gleaner.hear()).batch, 50);
  gleaner.give([0, { a: 1 }], [1, { a: 2 }]);
  const { results } = await gleaner.hear();
  assert.deepEqual(results, [
    { id: 0, status: "completed", columns: { b: 1 } },
    { id: 1, status: "filtered", reason: "big" },
  ]);
  gleaner.give([2, {}]);
  assert.match((await gleaner.hear()).results[0].error, /0 results for 1 rows/);
  assert.equal(await gleaner.end(), 0);
});

test("what is in hand is finished at the end of the input, and progress is told", async () => {
  const gleaner = new Gleaner(
    `await g.run(async (row, item) => { item.progress({ done: 1, total: 2 }); await new Promise(setImmediate); return {}; });`,
  );
  await gleaner.hear();
  gleaner.give([0, {}]);
  gleaner.child.stdio[3].end();
  assert.deepEqual(await gleaner.hear(), { type: "progress", id: 0, done: 1, total: 2 });
  assert.equal((await gleaner.hear()).results[0].status, "completed");
  assert.equal(await gleaner.end(), 0);
});

test("a large row and odd text come whole", async () => {
  const gleaner = new Gleaner(`await g.run((row) => ({ bytes: row.text.length, odd: row.odd }));`);
  await gleaner.hear();
  const odd = '\n\u2028"\\\u{1f4a9}';
  gleaner.give([0, { text: "x".repeat(4 << 20), odd }]);
  assert.deepEqual((await gleaner.hear()).results[0].columns, { bytes: 4 << 20, odd });
  assert.equal(await gleaner.end(), 0);
});
