import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { MaspError } from "../../../pipeline/errors.ts";
import { openMetricsLog, readMetrics } from "../../../pipeline/report/metrics_log.ts";
import { withFolder } from "../data/support.ts";

Deno.test("openMetricsLog: a line per step, there at once", async () => {
  await withFolder({}, async (root) => {
    const path = join(root, "run", "metrics.jsonl");
    using log = await openMetricsLog(path);
    assertEquals(log.path, path);
    await log.write({ step: 0, loss: 2.5 });
    await log.write({ step: 1, loss: NaN, note: "a\nb" });
    assertEquals(await Deno.readTextFile(path), '{"step":0,"loss":2.5}\n{"step":1,"loss":null,"note":"a\\nb"}\n');
  });
});

Deno.test("openMetricsLog: going on keeps the lines up to a step, and drops half a line", async () => {
  const lines = [0, 1, 2, 3, 4].map((step) => ({ step, loss: step / 10 }));
  const text = `${lines.map((line) => JSON.stringify(line)).join("\n")}\n{"step": 5, "lo`;
  await withFolder({ "metrics.jsonl": text }, async (root) => {
    const path = join(root, "metrics.jsonl");
    assertEquals(await readMetrics(path), lines);
    {
      using log = await openMetricsLog(path, { keepThrough: 2 });
      await log.write({ step: 3, loss: 7 });
    }
    assertEquals(await readMetrics(path), [...lines.slice(0, 3), { step: 3, loss: 7 }]);
    (await openMetricsLog(path, { keepThrough: -1 }))[Symbol.dispose]();
    assertEquals(await Deno.readTextFile(path), "");
  });
});

Deno.test("openMetricsLog: a new run starts an empty file; going on without a file does, too", async () => {
  await withFolder({ "a.jsonl": '{"step":1}\n' }, async (root) => {
    (await openMetricsLog(join(root, "a.jsonl")))[Symbol.dispose]();
    assertEquals(await readMetrics(join(root, "a.jsonl")), []);
    (await openMetricsLog(join(root, "b.jsonl"), { keepThrough: 10 }))[Symbol.dispose]();
    assertEquals(await readMetrics(join(root, "b.jsonl")), []);
    assertEquals(await readMetrics(join(root, "none.jsonl")), []);
  });
});

Deno.test("readMetrics: lines that are no measurement are passed over", async () => {
  await withFolder({ "a.jsonl": '\n[]\nnull\n3\n{"loss": 1}\n{"step": "2"}\n{"step": 4}\n' }, async (root) => {
    assertEquals(await readMetrics(join(root, "a.jsonl")), [{ step: 4 }]);
  });
});

Deno.test("openMetricsLog: a folder in the way is an error that names the file", async () => {
  await withFolder({ "metrics.jsonl/x": "" }, async (root) => {
    await assertRejects(() => openMetricsLog(join(root, "metrics.jsonl")), MaspError, "metrics.jsonl");
  });
});
