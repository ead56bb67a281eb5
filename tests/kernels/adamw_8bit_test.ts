import { assert, assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import { adamW, hyperValues } from "../../kernels/adamw/adamw.ts";
import { adamW8bitReference, type AdamW8bitReferenceState, nearestCode } from "../../kernels/adamw_8bit/_reference.ts";
import { adamW8bit, adamW8bitState, keeps32Bit } from "../../kernels/adamw_8bit/adamw_8bit.ts";
import { dynamicMap, zeroCode } from "../../kernels/adamw_8bit/dynamic_map.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { gpuTest, randomFloats, relativeError } from "./support.ts";

const MAPS = { signedMap: dynamicMap({ signed: true }), unsignedMap: dynamicMap({ signed: false }) };

Deno.test("dynamicMap: the known values, rising, without repeats", () => {
  for (const [signed, zero, smallest, second] of [[true, 127, 5.5e-7, 3.25e-6], [false, 0, 3.25e-7, 7.75e-7]] as const) {
    const map = dynamicMap({ signed });
    assertEquals(new Set(map).size, 256);
    assertEquals([...map], [...map].sort((a, b) => a - b));
    assertEquals([zeroCode({ signed }), map[zero], map[255]], [zero, 0, 1]);
    assertAlmostEquals(map[zero + 1], smallest, 1e-12);
    assertAlmostEquals(map[zero + 2], second, 1e-12);
    assertAlmostEquals(map[254], signed ? 0.99296875 : 0.996484375, 1e-7);
    assertAlmostEquals(map[0], signed ? -0.99296875 : 0, 1e-7);
    if (signed) { for (let i = 1; i < 128; i++) assertEquals(map[127 - i], -map[127 + i]); }
  }
});

Deno.test("nearestCode: the values themselves, ends, and the lower of two equally near", () => {
  const map = dynamicMap({ signed: true });
  map.forEach((value, code) => assertEquals(nearestCode(map, value), code));
  assertEquals([nearestCode(map, -1), nearestCode(map, 2), nearestCode([0, 1, 2], 1.5), nearestCode([0, 1, 2], 0.5)], [0, 255, 1, 0]);
});

Deno.test("keeps32Bit: below 4096 numbers", () => {
  assertEquals([1, 4095, 4096, 100000].map(keeps32Bit), [true, true, false, false]);
});

/** The state on the GPU as the reference takes it. */
async function readState(gpu: Gpu, t: ReturnType<typeof tensors>): Promise<AdamW8bitReferenceState> {
  const { mCodes, vCodes, mScale, vScale } = t.state;
  const [p, mc, vc, ms, vs] = await gpu.read(t.parameter, mCodes, vCodes, mScale, vScale);
  const floats = (bytes: Uint8Array<ArrayBuffer>) => Float64Array.from(new Float32Array(bytes.buffer));
  const { size } = t.parameter;
  return { parameter: floats(p), mCodes: mc.slice(0, size), vCodes: vc.slice(0, size), mScale: floats(ms), vScale: floats(vs) };
}

function tensors(plan: Plan, start: Float32Array<ArrayBuffer>) {
  const size = start.length;
  return {
    parameter: plan.persistent([size], { data: start }),
    gradient: plan.persistent([size]),
    state: adamW8bitState(plan.gpu, { size }),
    hyper: plan.persistent([8]),
    norm: plan.persistent([2], { data: Float32Array.of(4, 0.25) }),
  };
}

/** Codes are equal, or the value lies so near to the middle between the two that rounding decides. Returns how many differ. */
function compareCodes(actual: Uint8Array, expected: Uint8Array, values: { map: Float32Array; moment: Float64Array; scale: Float64Array }) {
  let differing = 0;
  actual.forEach((code, i) => {
    if (code === expected[i]) return;
    differing++;
    assertEquals(Math.abs(code - expected[i]), 1, `code ${code} of number ${i}, expected ${expected[i]}`);
    const middle = (values.map[code] + values.map[expected[i]]) / 2;
    const x = values.moment[i] / values.scale[Math.floor(i / 256)];
    assertLess(Math.abs(x - middle), 1e-6 * Math.abs(middle) + 1e-12, `${x} is not on the boundary ${middle}`);
  });
  return differing;
}

for (const variant of ["serial", "parallel"] as const) {
  gpuTest(`adamW8bit (${variant}): each update equals the f64 reference, the first at rate 0`, async (gpu) => {
    for (const size of [1, 3, 255, 256, 257, 1003, 4096, 20002]) {
      using plan = new Plan(gpu);
      const t = tensors(plan, randomFloats(size, 1));
      adamW8bit(plan, { ...t, variant });
      const fresh = await readState(gpu, t);
      assert(fresh.mCodes.every((code) => MAPS.signedMap[code] === 0) && fresh.vCodes.every((code) => MAPS.unsignedMap[code] === 0));
      let differing = 0;
      for (let step = 1; step <= 8; step++) {
        const gradient = randomFloats(size, step, { scale: 10 ** (step - 6) });
        gradient.fill(0, 512, 768); // a block whose moments stay 0
        for (let i = 0; i < size; i += 7) gradient[i] *= 1e-4; // small beside their block
        const settings = { learningRate: step === 1 ? 0 : 0.01 / step, betas: [0.9, 0.999] as const, eps: 1e-8, weightDecay: 0.1, step };
        const expected = await readState(gpu, t);
        gpu.write(t.gradient, gradient);
        gpu.write(t.hyper, hyperValues(settings));
        plan.run();
        const { m, v } = adamW8bitReference(expected, gradient, { ...settings, ...MAPS, scale: 0.25 });
        const actual = await readState(gpu, t);
        assertLess(relativeError(actual.parameter, expected.parameter), step === 1 ? 1e-12 : 1e-6);
        assertLess(relativeError(actual.mScale, expected.mScale), size < 256 ? 1e-5 : 1e-6); // a single moment may cancel
        assertLess(relativeError(actual.vScale, expected.vScale), 1e-6);
        for (let i = 0; i < size; i++) {
          assertLess(Math.abs(actual.parameter[i] - expected.parameter[i]), 1e-5 * Math.abs(expected.parameter[i]) + 1e-7);
        }
        differing += compareCodes(actual.mCodes, expected.mCodes, { map: MAPS.signedMap, moment: m, scale: expected.mScale });
        differing += compareCodes(actual.vCodes, expected.vCodes, { map: MAPS.unsignedMap, moment: v, scale: expected.vScale });
      }
      assertLess(differing, 1 + size * 16 / 1000);
      if (size > 768) assert((await gpu.readFloats(t.state.mScale))[2] === 0);
      gpu.destroy(...Object.values(t.state));
    }
  });
}

gpuTest("adamW8bit: every value has its code, numbers beside the middle of two values that of the nearer", async (gpu) => {
  const middles = (map: Float32Array) => Array.from(map.subarray(1), (value, i) => (value + map[i]) / 2);
  const around = (x: number) => [x * (1 - 1e-5), x * (1 + 1e-5)];
  const xs = [...MAPS.signedMap, ...middles(MAPS.signedMap).flatMap(around)];
  const squares = [...MAPS.unsignedMap, ...middles(MAPS.unsignedMap).flatMap(around)];
  for (const [numbers, signed] of [[xs, true], [squares.map(Math.sqrt), false]] as const) {
    // 255 of them to a block, and its largest number, which they are in relation to
    const gradient = Float32Array.from(
      { length: 256 * Math.ceil(numbers.length / 255) },
      (_, i) => i % 256 ? numbers[255 * Math.floor(i / 256) + i % 256 - 1] ?? 0 : 1,
    );
    for (const variant of ["serial", "parallel"] as const) {
      using plan = new Plan(gpu);
      const t = tensors(plan, new Float32Array(gradient.length));
      adamW8bit(plan, { ...t, variant });
      gpu.write(t.gradient, gradient);
      gpu.write(t.norm, Float32Array.of(1, 1));
      gpu.write(t.hyper, hyperValues({ learningRate: 0, betas: [0, 0], eps: 1e-8, weightDecay: 0, step: 1 })); // moments are g and g²
      plan.run();
      const { mCodes, vCodes } = await readState(gpu, t);
      const map = signed ? MAPS.signedMap : MAPS.unsignedMap;
      (signed ? mCodes : vCodes).forEach((code, i) => {
        const x = signed ? gradient[i] : Math.fround(gradient[i] ** 2);
        assertEquals(code, nearestCode(map, x), `code of ${x}`);
      });
      gpu.destroy(...Object.values(t.state));
    }
  }
});

gpuTest("adamW8bit: two runs give the same bits, numbers behind the tensor's end stay", async (gpu) => {
  const results: Uint8Array[][] = [];
  for (let run = 0; run < 2; run++) {
    using plan = new Plan(gpu);
    const t = tensors(plan, randomFloats(4099, 1));
    const whole = plan.persistent([4100], { data: randomFloats(4100, 1) });
    const parameter = whole.view([4099]);
    adamW8bit(plan, { ...t, parameter });
    gpu.write(t.hyper, hyperValues({ learningRate: 0.1, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.1, step: 1 }));
    gpu.write(t.gradient, randomFloats(4099, 2));
    for (let i = 0; i < 3; i++) plan.run();
    results.push(await gpu.read(whole, ...Object.values(t.state)));
    assertEquals((await gpu.readFloats(whole))[4099], randomFloats(4100, 1)[4099]);
    gpu.destroy(...Object.values(t.state));
  }
  assertEquals(results[0], results[1]);
});

gpuTest("adamW8bit: follows 32-bit AdamW on a convex problem", async (gpu) => {
  const size = 4500;
  const target = randomFloats(size, 3);
  const curvature = randomFloats(size, 4).map((x) => 0.1 + x * x);
  using plan = new Plan(gpu);
  const eight = tensors(plan, new Float32Array(size));
  const full = {
    parameter: plan.persistent([size]),
    gradient: plan.persistent([size]),
    m: plan.persistent([size]),
    v: plan.persistent([size]),
  };
  adamW8bit(plan, eight);
  adamW(plan, { ...full, hyper: eight.hyper, norm: eight.norm });
  const slope = (x: Float32Array) => x.map((value, i) => curvature[i] * (value - target[i]));
  const loss = (x: Float32Array) => x.reduce((sum, value, i) => sum + curvature[i] * (value - target[i]) ** 2 / 2, 0);
  const first = loss(new Float32Array(size));
  for (let step = 1; step <= 100; step++) {
    for (const { parameter, gradient } of [eight, full]) gpu.write(gradient, slope(await gpu.readFloats(parameter)));
    const learningRate = 0.05 * (1 - step / 101);
    gpu.write(eight.hyper, hyperValues({ learningRate, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, step }));
    plan.run();
  }
  const [x8, x32] = [await gpu.readFloats(eight.parameter), await gpu.readFloats(full.parameter)];
  assertLess(loss(x32), 0.05 * first);
  assertLess(Math.abs(loss(x8) - loss(x32)), 0.002 * first);
  assertLess(relativeError(x8, x32), 0.04); // the f64 reference differs by 0.0315: the codes' coarseness, not rounding
  gpu.destroy(...Object.values(eight.state));
});
