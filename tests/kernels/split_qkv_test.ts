import { assert, assertEquals, assertThrows } from "@std/assert";
import { Plan } from "../../kernels/plan.ts";
import { mropeTable } from "../../kernels/rotary/rotary_table.ts";
import { splitQkvBackwardReference, splitQkvReference, type SplitQkvReferenceOptions } from "../../kernels/split_qkv/_reference.ts";
import { splitQkv, splitQkvBackward } from "../../kernels/split_qkv/split_qkv.ts";
import { finiteDifference, gpuTest, randomFloats, relativeError } from "./support.ts";

const POSITIONS = 50;

interface Shape {
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Row of the keys and values for each row; in order when left out. */
  index?: number[];
  rows: number;
  /** C */
  kvRows: number;
}

const IN_ORDER: Shape[] = [
  { heads: 1, kvHeads: 1, headDim: 2, rows: 1, kvRows: 1 },
  { heads: 3, kvHeads: 1, headDim: 6, rows: 13, kvRows: 13 },
  { heads: 12, kvHeads: 2, headDim: 16, rows: 37, kvRows: 40 },
];
const BY_INDEX: Shape[] = [
  { heads: 4, kvHeads: 2, headDim: 6, index: [5, 0, 2], rows: 3, kvRows: 7 },
  { heads: 9, kvHeads: 3, headDim: 16, index: [8, 0xffffffff, 1, 9, 0], rows: 5, kvRows: 9 },
];

/** What the kernel and the reference need beside the rows. */
function setUp(plan: Plan, { heads, kvHeads, headDim, index, rows }: Shape) {
  const { table, axes } = mropeTable({ headDim, base: 100, positions: POSITIONS });
  const positions = Uint32Array.from({ length: rows * 3 }, (_, i) => (i * 7 + 3) % POSITIONS);
  const half = headDim / 2;
  // The table's own angles: what is compared is the kernel, not the table.
  const angle = (position: number, pair: number) =>
    Math.atan2(table[(position * half + pair) * 2 + 1], table[(position * half + pair) * 2]);
  const places = index ?? Array.from({ length: rows }, (_, i) => i);
  return {
    reference: { positions, angle, axes, axisCount: 3, heads, kvHeads, index: places },
    args: {
      positions: plan.persistent([rows, 3], { dtype: "u32", data: positions }),
      table: plan.persistent([POSITIONS, half, 2], { data: table }),
      axes: plan.persistent([half], { dtype: "u32", data: axes }),
      index: index && plan.persistent([rows], { dtype: "u32", data: Uint32Array.from(index) }),
      heads,
      kvHeads,
    },
  };
}

for (const [title, shapes] of [["in order", IN_ORDER], ["by index", BY_INDEX]] as const) {
  gpuTest(`splitQkv and its gradient equal their references, rows ${title}`, async (gpu) => {
    for (const shape of shapes) {
      using plan = new Plan(gpu);
      const { reference, args } = setUp(plan, shape);
      const { heads, kvHeads, headDim, rows, kvRows } = shape;
      const [all, queries, width] = [heads + 2 * kvHeads, heads, 2 * kvHeads].map((count) => count * headDim);
      const values = randomFloats(rows * all, 1);
      const before = randomFloats(kvRows * width, 2);
      const kv = plan.persistent([kvRows, width], { data: before });
      const { q } = splitQkv(plan, { ...args, qkv: plan.persistent([rows, all], { data: values }), kv });
      const dq = randomFloats(rows * queries, 3);
      const dkv = randomFloats(kvRows * width, 4);
      const dqkv = splitQkvBackward(plan, {
        ...args,
        dq: plan.persistent([rows, queries], { data: dq }),
        dkv: plan.persistent([kvRows, width], { data: dkv }),
      });
      const [keptQ, keptGradient] = [plan.persistent(q.shape), plan.persistent(dqkv.shape)];
      plan.copy(q, keptQ);
      plan.copy(dqkv, keptGradient);
      plan.run();
      const expected = splitQkvReference(values, { ...reference, kv: before });
      const gradient = splitQkvBackwardReference({ dq, dkv }, reference);
      const label = JSON.stringify(shape);
      assert(relativeError(await gpu.readFloats(keptQ), expected.q) < 1e-6, label);
      assert(relativeError(await gpu.readFloats(kv), expected.kv) < 1e-6, label);
      assert(relativeError(await gpu.readFloats(keptGradient), gradient) < 1e-6, label);
    }
  });
}

Deno.test("the reference's gradient of splitQkv equals finite differences", () => {
  const options: Omit<SplitQkvReferenceOptions, "kv"> = {
    positions: [3, 1, 4, 0, 2, 5],
    angle: (position, pair) => position * [1, 0.3][pair],
    axes: [0, 1],
    axisCount: 2,
    heads: 2,
    kvHeads: 1,
    index: [3, 4, 0], // the second row has no place among four
  };
  const kv = new Float64Array(4 * 8);
  const [x, dq, dkv] = [randomFloats(3 * 16, 1), randomFloats(3 * 8, 2), randomFloats(4 * 8, 3)];
  const f = (x: Float64Array) => {
    const split = splitQkvReference(x, { ...options, kv });
    return [...split.q, ...split.kv];
  };
  const expected = finiteDifference(f, x, { dy: [...dq, ...dkv] });
  assert(relativeError(splitQkvBackwardReference({ dq, dkv }, options), expected) < 1e-9);
});

gpuTest("splitQkv refuses rows that do not fit", (gpu) => {
  using plan = new Plan(gpu);
  const { args } = setUp(plan, { heads: 2, kvHeads: 1, headDim: 4, rows: 3, kvRows: 3 });
  const qkv = plan.persistent([3, 16]);
  assertEquals(splitQkv(plan, { ...args, qkv }).kv.shape, [3, 8]);
  assertThrows(() => splitQkv(plan, { ...args, qkv: plan.persistent([3, 12]) }), Error, "expected f32 (3, 16)");
  assertThrows(() => splitQkv(plan, { ...args, qkv, kv: plan.persistent([2, 8]) }), Error, "expected f32 (3, 8)");
  return Promise.resolve();
});
