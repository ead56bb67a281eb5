import { assertEquals, assertRejects } from "@std/assert";
import { openDawn } from "../../kernels/dawn/dawn.ts";
import { pausePolling } from "../../kernels/dawn/pause_polling.ts";
import { GpuError, requestGpu } from "../../kernels/gpu.ts";
import { withoutBodies } from "../../kernels/wgsl_interface.ts";
import { countingGpu } from "../../kernels/counting_gpu.ts";
import "../set_up.ts";

/** An implementation with an adapter of these features, which keeps the shaders that it is given. */
async function implementation(features: string[], info: object = {}): Promise<{ gpu: GPU; shaders: string[] }> {
  await using own = await requestGpu();
  await using counting = await countingGpu(own);
  const { device } = counting;
  const shaders: string[] = [];
  const granted = {
    ...device,
    ...{ features: new Set([...features, "subgroups"]), limits: own.device.limits },
    createShaderModule(descriptor: GPUShaderModuleDescriptor) {
      shaders.push(descriptor.code);
      return {};
    },
  };
  const adapter = {
    ...{ info: { description: "test", ...info }, features: new Set(features), limits: own.device.limits },
    requestDevice: () => Promise.resolve(granted),
  };
  return { gpu: { requestAdapter: () => Promise.resolve(adapter) } as unknown as GPU, shaders };
}

const SHADER = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) { x[i] = subgroupAdd(x[i]); }`;

Deno.test("openDawn: where the package is missing, the message says how to get it", async () => {
  const error = await assertRejects(() => openDawn({ package: new URL("./nowhere/index.js", import.meta.url) }), GpuError);
  assertEquals(error.message.includes("deno task install-dawn"), true, error.message);
});

Deno.test("requestGpu: another implementation without an adapter is told from a machine without one", async () => {
  const gpu = { requestAdapter: () => Promise.resolve(null) } as unknown as GPU;
  const error = await assertRejects(() => requestGpu({ gpu }), GpuError);
  assertEquals(error.message.includes("leave --gpu dawn out"), true, error.message);
});

Deno.test("pausePolling: native functions without a name run later, everybody else's at once and with their arguments, however often it is called", async () => {
  const immediate: unknown[] = [];
  const scope = { setImmediate: (callback: unknown, ...args: unknown[]) => void immediate.push(callback, ...args) };
  pausePolling(scope);
  const once = scope.setImmediate;
  pausePolling(scope);
  assertEquals(scope.setImmediate, once);
  const { promise, resolve } = Promise.withResolvers<string>(); // a native function without a name, as Dawn's
  scope.setImmediate(resolve, "waited");
  const own = () => {};
  const bound = own.bind(undefined);
  scope.setImmediate(own, 1, 2);
  scope.setImmediate(bound);
  assertEquals(immediate, [own, 1, 2, bound]);
  assertEquals(await promise, "waited");
});

Deno.test("Dawn's package stands in no list of the project's packages, or everybody would download it", async () => {
  for (const file of ["deno.json", "deno.lock"]) {
    const text = await Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
    assertEquals(text.match(/(npm:|")webgpu@[^"]*/g), null, file);
  }
});

Deno.test("requestGpu: implementations that list subgroups get the directives before shaders with subgroup operations, others do not", async () => {
  const listing = await implementation(["subgroups"]);
  await using gpu = await requestGpu({ gpu: listing.gpu });
  gpu.kernel({ label: "sum", code: SHADER });
  gpu.kernel({ label: "plain", code: SHADER.replace("subgroupAdd", "sqrt") });
  const silent = await implementation([]);
  await using other = await requestGpu({ gpu: silent.gpu });
  other.kernel({ label: "sum", code: SHADER });
  const starts = [...listing.shaders, ...silent.shaders].map((code) => code.startsWith("enable subgroups; "));
  assertEquals(starts, [true, false, false]);
  assertEquals(listing.shaders[0].split("\n").length, SHADER.split("\n").length, "lines must keep their numbers");
});

Deno.test("requestGpu: subgroup matrices are asked for and listed where the adapter has them", async () => {
  const info = { subgroupMatrixConfigs: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }] };
  const feature = "chromium-experimental-subgroup-matrix";
  await using gpu = await requestGpu({ gpu: (await implementation([feature], info)).gpu });
  assertEquals(gpu.subgroupMatrices, [{ rows: 16, columns: 16, depth: 16 }]);
  await using without = await requestGpu({ gpu: (await implementation([], info)).gpu });
  assertEquals(without.subgroupMatrices, []);
});

Deno.test("withoutBodies: declarations stay, bodies and comments go", () => {
  const text =
    "// fn no() {\nstruct P { a: u32 }\nfn f(x: u32) -> u32 { if (x > 1u) { return 2u; } return 1u; } /* } */\nvar<private> v: P;";
  assertEquals(withoutBodies(text), "\nstruct P { a: u32 }\nfn f(x: u32) -> u32 {} \nvar<private> v: P;");
});
