import { assert, assertEquals, assertRejects } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { requestGpu } from "../kernels/gpu.ts";
import { Comparison } from "../pipeline/golden/comparison.ts";
import { checkGolden, type GoldenRow } from "../pipeline/golden_check.ts";
import { MaspError } from "../pipeline/errors.ts";
import "./set_up.ts";

const GOLDEN = fromFileUrl(new URL("./golden", import.meta.url));

Deno.test({
  name: "golden: every case that PyTorch recorded, from token ids to trained parameters",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using gpu = await requestGpu();
    const rows: GoldenRow[] = await Array.fromAsync(checkGolden(gpu, GOLDEN));
    assertEquals(rows.filter(({ passed }) => !passed), []);
    const cases = Map.groupBy(rows, (row) => row.case);
    for (const name of ["tokenizer", "image", "vision_trace", "qwen2vl", "samples", "files", "stage1", "stage2", "eval"]) {
      assert(cases.has(name), `no rows of ${name}`);
    }
    assert(rows.reduce((sum, { count }) => sum + count, 0) > 450, "hardly anything was compared");
  },
});

Deno.test({
  name: "golden: rounded weights stay within the wider tolerances",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using gpu = await requestGpu();
    for (const weights of ["f16", "bf16", "int4"] as const) {
      const rows = await Array.fromAsync(checkGolden(gpu, GOLDEN, { weights }));
      assertEquals(rows.filter(({ passed }) => !passed), [], weights);
      assert(rows.some(({ case: name, error }) => name === "eval" && error > 1e-5), "the rounding shows nowhere");
    }
  },
});

Deno.test({
  name: "golden: the kernels for hardware, in f32 and with f16 products",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using gpu = await requestGpu({ software: false });
    for (const weights of ["f32", "bf16"] as const) {
      const rows = await Array.fromAsync(checkGolden(gpu, GOLDEN, { weights }));
      assertEquals(rows.filter(({ passed }) => !passed), [], weights);
    }
  },
});

Deno.test("golden: a difference, a missing value and a value that is no number fail", () => {
  const comparison = new Comparison();
  const place = { case: "c", name: "n" };
  comparison.close({ ...place, group: "close" }, { actual: [1, 2], expected: [1, 2.1], tolerance: 1e-3 });
  comparison.close({ ...place, group: "short" }, { actual: [1], expected: [1, 2], tolerance: 1e-3 });
  comparison.close({ ...place, group: "nan" }, { actual: [NaN], expected: [1], tolerance: 1e-3 });
  comparison.close({ ...place, group: "zero" }, { actual: [1e-9], expected: [0], tolerance: 1e-3 });
  comparison.equal({ ...place, group: "text" }, { actual: "a", expected: "b" });
  comparison.equal({ ...place, group: "ids" }, { actual: [1, 2], expected: [1, 2, 3] });
  assertEquals(comparison.take().map(({ passed }) => passed), [false, false, false, false, false, false]);
  comparison.close({ ...place, group: "mixed" }, { actual: [1], expected: [1], tolerance: 1e-3 });
  comparison.close({ ...place, group: "mixed" }, { actual: [2], expected: [1], tolerance: 1e-3 });
  comparison.close({ ...place, group: "mixed" }, { actual: [1], expected: [1], tolerance: 1e-3 });
  assertEquals(comparison.take().map(({ passed, count, error }) => [passed, count, error]), [[false, 3, 1]]);
});

Deno.test("golden: a folder of another kind is an error that names what is missing", async () => {
  await using gpu = await requestGpu();
  await assertRejects(() => Array.fromAsync(checkGolden(gpu, "demo")), MaspError, "cases.json, tensors.safetensors missing");
});
