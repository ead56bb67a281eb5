import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { rotaryReference } from "../../kernels/rotary/_reference.ts";
import { rotary } from "../../kernels/rotary/rotary.ts";
import { mropeTable, type RotaryTable, visionRotaryTable } from "../../kernels/rotary/rotary_table.ts";
import { finiteDifference, gpuTest, randomFloats, relativeError } from "./support.ts";

const POSITIONS = 50;

/** A table with everything that the kernel and the reference need beside x. */
function setUp(plan: Plan, { table, axes }: RotaryTable, shape: { rows: number; axisCount: number; heads: number }) {
  const { rows, axisCount, heads } = shape;
  const half = axes.length;
  const positions = Uint32Array.from({ length: rows * axisCount }, (_, i) => (i * 7 + 3) % POSITIONS);
  // The table's own angles: what is compared is the kernel, not the table.
  const angle = (position: number, pair: number) => {
    const at = (position * half + pair) * 2;
    return Math.atan2(table[at + 1], table[at]);
  };
  return {
    reference: { positions, angle, axes, axisCount, heads },
    args: {
      positions: plan.persistent([rows, axisCount], { dtype: "u32", data: positions }),
      table: plan.persistent([POSITIONS, half, 2], { data: table }),
      axes: plan.persistent([half], { dtype: "u32", data: axes }),
      heads,
    },
  };
}

/** Forward, inverse, in place and out of wider rows, against the reference. */
async function check(gpu: Gpu, made: RotaryTable, shape: { rows: number; axisCount: number; heads: number }): Promise<void> {
  using plan = new Plan(gpu);
  const { rows, heads } = shape;
  const width = heads * 2 * made.axes.length;
  const { reference, args } = setUp(plan, made, shape);
  const values = randomFloats(rows * 3 * width, width);
  const fused = plan.persistent([rows, 3 * width], { data: values });
  const turned = plan.persistent([rows, 3 * width], { data: values });
  const dense = plan.persistent([rows, width]);
  const spread = plan.persistent([rows, 3 * width]);
  rotary(plan, { x: fused, ...args, out: dense });
  rotary(plan, { x: turned, ...args, out: turned });
  rotary(plan, { x: dense, ...args, inverse: true, out: spread });
  plan.run();
  const slice = (data: Float32Array, third: number) =>
    Float32Array.from({ length: rows * width }, (_, i) => data[Math.floor(i / width) * 3 * width + third * width + i % width]);
  const expected = rotaryReference(slice(values, 0), reference);
  const label = `${JSON.stringify(shape)}, ${made.axes.length} pairs`;
  const error = relativeError(await gpu.readFloats(dense), expected);
  assert(error < 1e-6, `${label}: ${error}`);
  const inPlace = await gpu.readFloats(turned);
  assertEquals(slice(inPlace, 0), await gpu.readFloats(dense));
  assertEquals([slice(inPlace, 1), slice(inPlace, 2)], [slice(values, 1), slice(values, 2)], "columns behind them stay");
  const back = await gpu.readFloats(spread);
  assert(relativeError(slice(back, 0), slice(values, 0)) < 1e-6, `${label}: turned there and back`);
  assert(slice(back, 1).every((v) => v === 0) && slice(back, 2).every((v) => v === 0), "columns behind them stay");
}

gpuTest("rotary equals its reference on three axes", async (gpu) => {
  const table = mropeTable({ headDim: 16, base: 1e6, positions: POSITIONS, sections: [2, 3, 3] });
  for (const [rows, heads] of [[1, 1], [37, 3], [5, 20]]) await check(gpu, table, { rows, axisCount: 3, heads });
});

gpuTest("rotary equals its reference with an odd number of pairs", async (gpu) => {
  for (const headDim of [2, 6, 10]) {
    await check(gpu, mropeTable({ headDim, base: 1e4, positions: POSITIONS }), { rows: 11, axisCount: 1, heads: 3 });
  }
});

gpuTest("rotary equals its reference on the vision tower's two axes", async (gpu) => {
  for (const headDim of [4, 12, 80]) {
    await check(gpu, visionRotaryTable({ headDim, positions: POSITIONS }), { rows: 24, axisCount: 2, heads: 2 });
  }
});

Deno.test("turning back is the gradient: the reference's inverse equals finite differences", () => {
  const frequencies = [1, 0.3, 0.1];
  const turned = (x: ArrayLike<number>, sign: number) =>
    rotaryReference(x, {
      positions: [3, 1, 4, 0],
      angle: (position, pair) => sign * position * frequencies[pair],
      axes: [0, 1, 1],
      axisCount: 2,
      heads: 2,
    });
  const [x, dy] = [randomFloats(24, 1), randomFloats(24, 2)];
  const expected = finiteDifference((x) => turned(x, 1), x, { dy });
  const inverse = turned(dy, -1);
  assert(relativeError(inverse, expected) < 1e-9);
});

Deno.test("mropeTable has the published frequencies and sections", () => {
  const { table, axes } = mropeTable({ headDim: 128, base: 1e6, positions: 1001, sections: [16, 24, 24] });
  assertEquals([axes[0], axes[15], axes[16], axes[39], axes[40], axes[63]], [0, 0, 1, 1, 2, 2]);
  assertEquals(table.length, 1001 * 64 * 2);
  assertEquals([...table.slice(0, 4)], [1, 0, 1, 0]);
  for (const [position, pair] of [[1, 0], [1000, 0], [1000, 1], [1000, 31], [7, 63]]) {
    const angle = position * 1e6 ** (-2 * pair / 128);
    const at = (position * 64 + pair) * 2;
    assert(Math.abs(table[at] - Math.cos(angle)) < 1e-4 && Math.abs(table[at + 1] - Math.sin(angle)) < 1e-4, `${position}, ${pair}`);
  }
  assertThrows(() => mropeTable({ headDim: 128, base: 1e6, positions: 1, sections: [16, 24] }), RangeError, "64");
});

Deno.test("visionRotaryTable repeats its frequencies for row and column", () => {
  const { table, axes } = visionRotaryTable({ headDim: 8, positions: 5 });
  assertEquals([...axes], [0, 0, 1, 1]);
  const row = [...table.slice(4 * 8, 5 * 8)];
  const expected = [4, 0.04, 4, 0.04].flatMap((angle) => [Math.cos(angle), Math.sin(angle)]);
  assert(relativeError(row, expected) < 1e-7, String(row));
  assertThrows(() => visionRotaryTable({ headDim: 6, positions: 5 }), RangeError, "multiple of 4");
});

gpuTest("rows that do not fit are refused", (gpu) => {
  using plan = new Plan(gpu);
  const { args } = setUp(plan, mropeTable({ headDim: 4, base: 1e4, positions: POSITIONS }), { rows: 3, axisCount: 1, heads: 2 });
  assertThrows(() => rotary(plan, { x: plan.persistent([3, 7]), ...args }), Error, "expected f32 (3, 8)");
  assertThrows(() => rotary(plan, { x: plan.persistent([3, 16]), ...args, out: plan.persistent([2, 8]) }), Error, "expected f32 (3, 8)");
  return Promise.resolve();
});
