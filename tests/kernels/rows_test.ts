import { assert, assertEquals, assertThrows } from "@std/assert";
import { Plan } from "../../kernels/plan.ts";
import { gatherRowsReference, scatterAddRowsReference } from "../../kernels/rows/_reference.ts";
import { gatherRows, NO_ROW, scatterAddRows } from "../../kernels/rows/rows.ts";
import type { DType } from "../../kernels/tensor.ts";
import { finiteDifference, gpuTest, randomFloats, relativeError } from "./support.ts";

/** Numbers as a table of that type, and what the table then holds. */
function encode(values: Float32Array, dtype: DType): { data: ArrayBufferView; values: Float32Array } {
  if (dtype === "f32") return { data: values, values };
  const bits = new Uint32Array(values.buffer);
  if (dtype === "bf16") {
    const data = Uint16Array.from(bits, (word) => word >>> 16);
    return { data, values: new Float32Array(Uint32Array.from(data, (half) => half << 16).buffer) };
  }
  const data = Float16Array.from(values);
  return { data, values: Float32Array.from(data) };
}

gpuTest("gatherRows fills a result from several blocks and leaves the other rows", async (gpu) => {
  for (const dtype of ["f32", "bf16", "f16"] as const) {
    for (const [rows, columns, count] of [[1, 1, 1], [5, 3, 9], [13, 7, 40], [11, 64, 21], [9, 132, 5]]) {
      using plan = new Plan(gpu);
      const table = encode(randomFloats(rows * columns, columns), dtype);
      const other = randomFloats(2 * columns, 3);
      // Rows of the table, of the other source (100, 101), none, and indices beyond everything.
      const indices = Uint32Array.from(
        { length: count },
        (_, t) => t % 7 === 5 ? 100 + t % 2 : t % 7 === 6 ? NO_ROW : (t * 3) % (rows + 1),
      );
      const before = randomFloats(count * columns, 4);
      const index = plan.persistent([count], { dtype: "u32", data: indices });
      const out = plan.persistent([count, columns], { data: before });
      const cut = rows * columns * (dtype === "f32" ? 4 : 2) > 256 ? Math.floor(rows / 2) : rows; // two blocks of the table
      const block = (from: number, to: number) => {
        const bytes = new Uint8Array(
          table.data.buffer,
          from * columns * (dtype === "f32" ? 4 : 2),
          (to - from) * columns * (dtype === "f32" ? 4 : 2),
        );
        return plan.persistent([to - from, columns], { dtype, data: bytes });
      };
      gatherRows(plan, { source: block(0, cut), index, out });
      if (cut < rows) gatherRows(plan, { source: block(cut, rows), index, out, first: cut });
      gatherRows(plan, { source: plan.persistent([2, columns], { data: other }), index, out, first: 100 });
      plan.run();
      const once = gatherRowsReference(table.values, { index: indices, columns, out: before });
      const expected = gatherRowsReference(other, { index: indices, columns, out: once, first: 100 });
      assertEquals(Array.from(await gpu.readFloats(out)), Array.from(expected), `${dtype} (${rows}, ${columns}), ${count} indices`);
    }
  }
});

gpuTest("scatterAddRows sums rows of equal index and equals its reference", async (gpu) => {
  for (const [rows, columns, count] of [[1, 1, 1], [3, 5, 40], [32, 64, 70], [33, 7, 20], [200, 12, 300], [2, 1030, 9]]) {
    for (const add of [false, true]) {
      using plan = new Plan(gpu);
      const values = randomFloats(count * columns, columns);
      const indices = Uint32Array.from({ length: count }, (_, t) => t % 5 === 4 ? NO_ROW : (t * 7 + (t >> 2)) % (rows + 2));
      const before = randomFloats(rows * columns, 4);
      const out = plan.persistent([rows, columns], { data: before });
      const dy = plan.persistent([count, columns], { data: values });
      scatterAddRows(plan, { dy, index: plan.persistent([count], { dtype: "u32", data: indices }), out, add });
      plan.run();
      const start = add ? before : new Float32Array(before.length);
      const expected = scatterAddRowsReference(values, { index: indices, columns, out: start });
      const error = relativeError(await gpu.readFloats(out), expected);
      assert(error < 1e-6, `(${rows}, ${columns}), ${count} indices, add ${add}: ${error}`);
    }
  }
});

gpuTest("scatterAddRows without rows to add clears its result", async (gpu) => {
  using plan = new Plan(gpu);
  const out = plan.persistent([2, 3], { data: randomFloats(6, 1) });
  const kept = plan.persistent([2, 3], { data: randomFloats(6, 1) });
  const nothing = { dy: plan.persistent([0, 3]), index: plan.persistent([0], { dtype: "u32" }) };
  scatterAddRows(plan, { ...nothing, out });
  scatterAddRows(plan, { ...nothing, out: kept, add: true });
  plan.run();
  assertEquals([...await gpu.readFloats(out)], [0, 0, 0, 0, 0, 0]);
  assertEquals(await gpu.readFloats(kept), randomFloats(6, 1));
});

Deno.test("scattering is the gradient of gathering: the reference equals finite differences", () => {
  const index = [2, 0, 2, NO_ROW, 1, 9];
  const [source, dy] = [randomFloats(4 * 3, 1), randomFloats(6 * 3, 2)];
  const gather = (source: ArrayLike<number>) => gatherRowsReference(source, { index, columns: 3, out: new Float64Array(18) });
  const expected = finiteDifference(gather, source, { dy });
  assert(relativeError(scatterAddRowsReference(dy, { index, columns: 3, out: new Float64Array(12) }), expected) < 1e-9);
});

gpuTest("shapes are checked", (gpu) => {
  using plan = new Plan(gpu);
  const index = plan.persistent([3], { dtype: "u32" });
  const [source, out] = [plan.persistent([4, 8]), plan.persistent([2, 8])];
  assertThrows(() => gatherRows(plan, { source, index, out }), Error, "(3, 8)");
  assertThrows(() => scatterAddRows(plan, { dy: out, index, out: source }), Error, "(3, 8)");
  const numbers = plan.persistent([4, 8], { dtype: "u32" });
  assertThrows(() => gatherRows(plan, { source: numbers, index, out: plan.persistent([3, 8]) }), Error, "bf16");
  return Promise.resolve();
});
