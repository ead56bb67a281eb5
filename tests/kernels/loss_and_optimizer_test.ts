import { assertEquals, assertLess } from "@std/assert";
import { crossEntropyBackwardReference, crossEntropyReference } from "../../kernels/cross_entropy/_reference.ts";
import { crossEntropy, crossEntropyBackward } from "../../kernels/cross_entropy/cross_entropy.ts";
import { argMaxReference } from "../../kernels/arg_max/_reference.ts";
import { argMax } from "../../kernels/arg_max/arg_max.ts";
import { guessTokensReference } from "../../kernels/guess_tokens/_reference.ts";
import { guessTokens } from "../../kernels/guess_tokens/guess_tokens.ts";
import { softmaxBackwardReference, softmaxReference } from "../../kernels/softmax/_reference.ts";
import { rowSoftmax, rowSoftmaxBackward } from "../../kernels/softmax/softmax.ts";
import { gradientNormReference } from "../../kernels/gradient_norm/_reference.ts";
import { gradientNorm } from "../../kernels/gradient_norm/gradient_norm.ts";
import { adamWReference } from "../../kernels/adamw/_reference.ts";
import { adamW, hyperValues } from "../../kernels/adamw/adamw.ts";
import { Plan } from "../../kernels/plan.ts";
import { finiteDifference, gpuTest, randomFloats, relativeError } from "./support.ts";

gpuTest(
  "crossEntropy: loss and gradient equal the f64 reference, columns behind the vocabulary and rows of weight 0 count nothing",
  async (gpu) => {
    for (const [rows, width, columns] of [[1, 1, 1], [3, 7, 5], [5, 1016, 1013], [9, 3001, 3001], [2, 40000, 39999]]) {
      const logits = randomFloats(rows * width, rows, { scale: 4 });
      const targets = Uint32Array.from({ length: rows }, (_, i) => (i * 7919) % columns);
      const weights = randomFloats(rows, 2).map((w, i) => i === 1 ? 0 : Math.abs(w));
      using plan = new Plan(gpu);
      const t = {
        logits: plan.persistent([rows, width], { data: logits }),
        targets: plan.persistent([rows], { dtype: "u32", data: targets }),
        weights: plan.persistent([rows], { data: weights }),
        vocabulary: columns,
      };
      const { nll, loss, stats } = crossEntropy(plan, { ...t, nll: plan.persistent([rows]), loss: plan.persistent([1]) });
      const gradient = crossEntropyBackward(plan, { ...t, stats, out: plan.persistent([rows, width]) });
      plan.run();
      const shape = { rows, width, columns };
      const expected = crossEntropyReference(logits, targets, shape);
      if (columns > 1) assertLess(relativeError(await gpu.readFloats(nll), expected), 1e-6);
      const total = expected.reduce((sum, value, i) => sum + value * weights[i], 0);
      assertLess(Math.abs((await gpu.readFloats(loss))[0] - total), 1e-5 * Math.max(total, 1));
      const dlogits = await gpu.readFloats(gradient);
      if (columns > 1) assertLess(relativeError(dlogits, crossEntropyBackwardReference(logits, targets, { ...shape, weights })), 2e-6);
      if (rows > 1) assertEquals(dlogits.slice(width, 2 * width).every((x) => x === 0), true);
    }
  },
);

Deno.test("crossEntropy: the reference's gradient is that of finite differences", () => {
  const shape = { rows: 3, width: 6, columns: 5 };
  const logits = randomFloats(18, 1);
  const weights = randomFloats(3, 2);
  const targets = [0, 4, 2];
  const gradient = crossEntropyBackwardReference(logits, targets, { ...shape, weights });
  assertLess(relativeError(gradient, finiteDifference((x) => crossEntropyReference(x, targets, shape), logits, { dy: weights })), 1e-8);
});

gpuTest("guessTokens: what follows in the first guess that begins alike, otherwise the token itself", async (gpu) => {
  const first = Array.from({ length: 131 }, (_, i) => i * 37 % 23);
  for (const [guesses, rows] of [[[[3, 9]], 1], [[[3, 9, 8], [11, 4, 7], [3, 1, 1], [22, 5, 5]], 3]] as const) {
    using plan = new Plan(gpu);
    const ids = guessTokens(plan, {
      first: plan.persistent([first.length], { dtype: "u32", data: Uint32Array.from(first) }),
      guesses: plan.persistent([guesses.length, rows], {
        dtype: "u32",
        data: Uint32Array.from(guesses.flatMap((ids) => ids.slice(0, rows))),
      }),
    });
    plan.run();
    assertEquals([...new Uint32Array((await gpu.read(ids))[0].buffer)], guessTokensReference(first, guesses, rows));
  }
});

gpuTest("argMax: the first of the largest, signs, infinities and NaN as torch", async (gpu) => {
  for (const [rows, width, columns] of [[1, 1, 1], [70, 13, 11], [3, 5000, 4999]]) {
    const logits = randomFloats(rows * width, 3, { mean: -2 });
    for (let i = 0; i < 9; i++) logits[(i * 6007) % logits.length] = [NaN, Infinity, -Infinity, 0, -0, 3, 3, 3, 3][i];
    using plan = new Plan(gpu);
    const out = argMax(plan, {
      logits: plan.persistent([rows, width], { data: logits }),
      vocabulary: columns,
      out: plan.persistent([rows], { dtype: "u32" }),
    });
    plan.run();
    assertEquals([...new Uint32Array((await gpu.read(out))[0].buffer)], argMaxReference(logits, { rows, width, columns }));
  }
});

gpuTest("rowSoftmax: forward and gradient equal the f64 reference", async (gpu) => {
  for (const [rows, columns] of [[1, 1], [5, 25], [7, 391], [30, 65]]) {
    const scale = 0.3;
    const x = randomFloats(rows * columns, 1, { scale: 10 });
    const dp = randomFloats(rows * columns, 2);
    const p = softmaxReference(x, { rows, columns, scale });
    using plan = new Plan(gpu);
    const out = rowSoftmax(plan, { x: plan.persistent([rows, columns], { data: x }), scale, out: plan.persistent([rows, columns]) });
    const dx = rowSoftmaxBackward(plan, {
      p: out,
      dp: plan.persistent([rows, columns], { data: dp }),
      scale,
      out: plan.persistent([rows, columns]),
    });
    plan.run();
    assertLess(relativeError(await gpu.readFloats(out), p), 1e-6);
    if (columns > 1) assertLess(relativeError(await gpu.readFloats(dx), softmaxBackwardReference(p, dp, { rows, columns, scale })), 3e-6);
  }
});

Deno.test("rowSoftmax: the reference's gradient is that of finite differences", () => {
  const shape = { rows: 3, columns: 4, scale: 0.7 };
  const x = randomFloats(12, 1);
  const dy = randomFloats(12, 2);
  const gradient = softmaxBackwardReference(softmaxReference(x, shape), dy, shape);
  assertLess(relativeError(gradient, finiteDifference((v) => softmaxReference(v, shape), x, { dy })), 1e-8);
});

gpuTest("gradientNorm: norm and clipping factor of several tensors", async (gpu) => {
  for (const [sizes, maxNorm] of [[[1], 1], [[5, 70001, 3], 1], [[100], 1e6], [[33, 2], 0]] as const) {
    const gradients = sizes.map((size, i) => randomFloats(size, i + 1));
    using plan = new Plan(gpu);
    const tensors = gradients.map((data) => plan.persistent([data.length], { data }));
    const out = gradientNorm(plan, { gradients: tensors, maxNorm, out: plan.persistent([2]) });
    plan.run();
    assertLess(relativeError(await gpu.readFloats(out), gradientNormReference(gradients, maxNorm)), 1e-6);
  }
});

gpuTest("adamW: ten updates equal the f64 reference, the first at rate 0", async (gpu) => {
  const size = 1003;
  const start = randomFloats(size, 1);
  const state = { parameter: Float64Array.from(start), m: new Float64Array(size), v: new Float64Array(size) };
  using plan = new Plan(gpu);
  const t = {
    parameter: plan.persistent([size], { data: start }),
    gradient: plan.persistent([size]),
    m: plan.persistent([size]),
    v: plan.persistent([size]),
    hyper: plan.persistent([8]),
    norm: plan.persistent([2], { data: Float32Array.of(4, 0.25) }),
  };
  adamW(plan, t);
  for (let step = 1; step <= 10; step++) {
    const gradient = randomFloats(size, step, { scale: 10 ** (step - 6) });
    const settings = { learningRate: step === 1 ? 0 : 0.01 / step, betas: [0.9, 0.999] as const, eps: 1e-8, weightDecay: 0.1, step };
    gpu.write(t.gradient, gradient);
    gpu.write(t.hyper, hyperValues(settings));
    plan.run();
    adamWReference(state, gradient, { ...settings, scale: 0.25 });
    assertLess(relativeError(await gpu.readFloats(t.parameter), state.parameter), 1e-6);
  }
  assertLess(relativeError(await gpu.readFloats(t.m), state.m), 1e-5);
  assertLess(relativeError(await gpu.readFloats(t.v), state.v), 1e-5);
});
