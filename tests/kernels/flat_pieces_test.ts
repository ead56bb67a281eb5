import { assertEquals, assertLess } from "@std/assert";
import { adamW, hyperValues } from "../../kernels/adamw/adamw.ts";
import { adamW8bit, adamW8bitState } from "../../kernels/adamw_8bit/adamw_8bit.ts";
import { flatPieces } from "../../kernels/flat_pieces.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { gradientNorm } from "../../kernels/gradient_norm/gradient_norm.ts";
import { Plan } from "../../kernels/plan.ts";
import { gpuTest, randomFloats } from "./support.ts";

const SIZE = 40_001;
/** A binding takes 16384 numbers of f32. */
const SMALL = 4 * 2 ** 14 + 8;

/** What two updates make of parameters and moments, and the norm of the gradient. */
async function updated(gpu: Gpu, { eightBit }: { eightBit: boolean }): Promise<{ values: Uint8Array[]; norm: number; dispatches: number }> {
  using plan = new Plan(gpu);
  const numbers = (seed: number) => plan.persistent([SIZE], { data: randomFloats(SIZE, seed) });
  const [parameter, gradient] = [numbers(1), numbers(2)];
  const hyper = plan.persistent([8], {
    data: hyperValues({ learningRate: 0.1, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0.01, step: 1 }),
  });
  const clip = plan.persistent([2], { data: Float32Array.of(1, 0.5) });
  const [m, v] = [plan.persistent([SIZE]), plan.persistent([SIZE])];
  const state = adamW8bitState(gpu, { size: SIZE });
  const norm = gradientNorm(plan, { gradients: [gradient], maxNorm: 1, out: plan.persistent([2]) });
  for (let i = 0; i < 2; i++) {
    if (eightBit) adamW8bit(plan, { parameter, gradient, state, hyper, norm: clip });
    else adamW(plan, { parameter, gradient, m, v, hyper, norm: clip });
  }
  plan.run();
  const kept = eightBit ? [state.mCodes, state.vCodes, state.mScale, state.vScale] : [m, v];
  const values = await gpu.read(parameter, ...kept);
  const result = { values, norm: (await gpu.readFloats(norm))[0], dispatches: plan.dispatches };
  gpu.destroy(...Object.values(state));
  return result;
}

Deno.test("flatPieces: as few as the limit allows, each beginning where views may begin", () => {
  assertEquals(flatPieces({ maxBindingBytes: 2 ** 30 }, SIZE), [{ start: 0, count: SIZE }]);
  const starts = [0, 16384, 32768].map((start) => ({ start, count: Math.min(16384, SIZE - start) }));
  assertEquals(flatPieces({ maxBindingBytes: SMALL }, SIZE), starts);
  assertEquals(flatPieces({ maxBindingBytes: SMALL }, 16384).length, 1);
  assertEquals(flatPieces({ maxBindingBytes: SMALL }, 0), []);
});

gpuTest("parameters larger than a binding are updated in pieces, to the same bits, and counted in the norm", async (gpu) => {
  for (const eightBit of [false, true]) {
    const whole = await updated(gpu, { eightBit });
    Object.defineProperty(gpu, "maxBindingBytes", { value: SMALL, configurable: true });
    const pieces = await updated(gpu, { eightBit }).finally(() => Reflect.deleteProperty(gpu, "maxBindingBytes"));
    assertEquals([whole.dispatches, pieces.dispatches], [1 + 1 + 2, 3 + 1 + 6]);
    assertEquals(pieces.values, whole.values);
    assertLess(Math.abs(pieces.norm / whole.norm - 1), 1e-6);
  }
});
