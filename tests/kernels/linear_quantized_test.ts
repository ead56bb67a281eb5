import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { linear, linearInputGradient } from "../../kernels/linear/linear.ts";
import { asMatrix, createMatrix, destroyMatrix, firstRows, stack, weightTensors, writeMatrix } from "../../kernels/linear/matrix.ts";
import { vectorComputes, vectorProduct, vectorThreads } from "../../kernels/linear/vector_rows_wgsl.ts";
import { rmsNormReference } from "../../kernels/rms_norm/_reference.ts";
import { rmsNormRows } from "../../kernels/rms_norm/rms_norm.ts";
import { linearBackwardReference, linearReference } from "../../kernels/linear/_reference.ts";
import { Plan } from "../../kernels/plan.ts";
import { gatherRowsReference } from "../../kernels/rows/_reference.ts";
import { gatherMatrixRows, NO_ROW } from "../../kernels/rows/rows.ts";
import { quantizedMatrix, readQuantized } from "./quantized_support.ts";
import { gpuTest, productTolerance, randomFloats, relativeError } from "./support.ts";

for (const type of ["int8", "int4"] as const) {
  gpuTest(`linear, ${type}: blocks, the first rows alone, and f32 rows behind them`, async (gpu) => {
    const [rows, inputs, outputs, behind] = [9, 140, 44, 5];
    const x = randomFloats(rows * inputs, 1);
    const weights = randomFloats(outputs * inputs, 3);
    const weight = quantizedMatrix(gpu, [outputs, inputs], { type, weights, maxBlockBytes: 12 * 256 });
    assert(weight.blocks.length > 1);
    const { values } = await readQuantized(gpu, weight);
    const own = randomFloats(behind * inputs, 5);
    using plan = new Plan(gpu);
    const tx = plan.persistent([rows, inputs], { data: x });
    const cut = 27;
    const joined = stack(firstRows(weight, cut), asMatrix(plan.persistent([behind, inputs], { data: own })));
    const all = [...values.subarray(0, cut * inputs), ...own];
    const dy = randomFloats(rows * (cut + behind), 6);
    const y = linear(plan, { x: tx, weight, out: plan.persistent([rows, outputs]) });
    const joinedY = linear(plan, { x: tx, weight: joined, out: plan.persistent([rows, cut + behind]) });
    const dx = linearInputGradient(plan, {
      dy: plan.persistent([rows, cut + behind], { data: dy }),
      weight: joined,
      out: plan.persistent([rows, inputs]),
    });
    plan.run();
    assertLess(relativeError(await gpu.readFloats(y), linearReference(x, values, { rows, inputs, outputs })), productTolerance(gpu, type));
    const shape = { rows, inputs, outputs: cut + behind };
    assertLess(relativeError(await gpu.readFloats(joinedY), linearReference(x, all, shape)), productTolerance(gpu, type));
    assertLess(
      relativeError(await gpu.readFloats(dx), linearBackwardReference(dy, { x, weight: all, ...shape }).dx),
      productTolerance(gpu, type),
    );
    destroyMatrix(gpu, weight);
  });

  gpuTest(`gatherMatrixRows, ${type}: rows of a quantised table in blocks`, async (gpu) => {
    for (const [rows, columns] of [[1, 1], [13, 7], [11, 132], [40, 257]] as const) {
      const table = quantizedMatrix(gpu, [rows, columns], { type, weights: randomFloats(rows * columns, 3), maxBlockBytes: 4096 });
      const { values } = await readQuantized(gpu, table);
      const index = Uint32Array.from({ length: 21 }, (_, t) => t % 7 === 6 ? NO_ROW : (t * 3) % (rows + 1));
      const before = randomFloats(index.length * columns, 4);
      using plan = new Plan(gpu);
      const out = gatherMatrixRows(plan, {
        matrix: table,
        index: plan.persistent([index.length], { dtype: "u32", data: index }),
        out: plan.persistent([index.length, columns], { data: before }),
      });
      plan.run();
      assertLess(relativeError(await gpu.readFloats(out), gatherRowsReference(values, { index, columns, out: before })), 1e-7);
      destroyMatrix(gpu, table);
    }
  });
}

/** Every way of adding and reading, but not each with each: compiling takes most of the time. */
const VECTORS = [
  { threads: 64, lanes: 0, inputs: 3 * 128 + 36, rows: [1, 4, 5, 16] },
  { threads: 64, lanes: 8, inputs: 3 * 128 + 40, rows: [1, 4, 16] },
  { threads: 256, lanes: 8, inputs: 3 * 128 + 40, rows: [2, 5] },
] as const;

for (const { threads, lanes, inputs, rows: counts } of VECTORS) {
  const name = `by ${threads}, ${lanes ? "in subgroups" : "in workgroup memory"}, ${inputs} inputs`;
  gpuTest(`linear: the vector product of real GPUs, which share the work on a column, ${name}`, async (gpu) => {
    if (lanes && gpu.subgroupSize === 0) return;
    const outputs = 22;
    const weights = randomFloats(outputs * inputs, 2, { scale: 0.05 });
    const bf16 = createMatrix(gpu, [outputs, inputs], { dtype: "bf16" });
    const halves = Uint16Array.from(new Uint32Array(weights.buffer), (bits) => bits >>> 16);
    writeMatrix(gpu, bf16, { data: new Uint8Array(halves.buffer) });
    const exact = Float64Array.from(new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer));
    for (const dtype of ["bf16", "int8", "int4"] as const) {
      const weight = dtype === "bf16" ? bf16 : quantizedMatrix(gpu, [outputs, inputs], { type: dtype, weights });
      const values = dtype === "bf16" ? exact : (await readQuantized(gpu, weight)).values;
      const factors = randomFloats(inputs, 3, { mean: 1 });
      for (const [rows, normed] of counts.flatMap((rows) => [[rows, false], [rows, true]] as const)) {
        using plan = new Plan(gpu);
        const x = randomFloats(rows * inputs, 1, { scale: 4 });
        const a = plan.persistent([rows, inputs], { data: x });
        const source = rmsNormRows({ x: a, weight: plan.persistent([inputs], { data: factors }), eps: 1e-6 });
        const subgroup = lanes && gpu.subgroupSize;
        if (normed && !vectorComputes({ rows, source, lanes: subgroup })) continue;
        const { label, code, tileColumns } = vectorProduct({
          dtype,
          epilogue: { bias: false, residual: false, accumulate: false },
          rows,
          depth: inputs,
          threads,
          lanes: subgroup,
          source: normed ? source : undefined,
        });
        const y = plan.persistent([rows, outputs]);
        const sizes = { rows, columns: outputs, depth: inputs, row_stride: outputs, first_column: 0 };
        plan.dispatch({ label, code }, {
          tensors: { ...(normed ? source.tensors : { a }), ...weightTensors(weight.blocks[0]), y },
          params: normed ? { ...sizes, quads: inputs / 4 } : sizes,
          workgroups: [Math.ceil(outputs / tileColumns)],
        });
        plan.run();
        const expected = linearReference(normed ? rmsNormReference(x, factors, { eps: 1e-6 }) : x, values, { rows, inputs, outputs });
        assertLess(relativeError(await gpu.readFloats(y), expected), 1e-6, `${dtype}, ${rows} rows${normed ? ", normed" : ""}`);
      }
      destroyMatrix(gpu, weight);
    }
  });
}

Deno.test("linear: workgroups of vector products are larger where there are few of them and much to read for each", () => {
  const of = (columns: number, depth: number, lanes = 32) => vectorThreads({ rows: 1, columns, depth, dtype: "bf16" }, { lanes });
  assertEquals([of(4608, 3584), of(3584, 3584), of(37888, 3584), of(3584, 18944), of(152064, 3584)], [128, 128, 64, 256, 64]);
  assertEquals([of(3584, 18944, 0), of(128, 192), of(8, 8)], [64, 64, 64]);
  assertEquals(vectorThreads({ rows: 5, columns: 3584, depth: 18944, dtype: "bf16" }, { lanes: 32 }), 64);
});

gpuTest("linear: bytes cannot be written into a quantised matrix", (gpu) => {
  const weight = createMatrix(gpu, [2, 4], { dtype: "int8", label: "frozen" });
  assertThrows(
    () => writeMatrix(gpu, weight, { data: new Uint8Array(8) }),
    Error,
    '"frozen[0..2)" is int8: its weights come from quantizeRows',
  );
  destroyMatrix(gpu, weight);
  return Promise.resolve();
});
