/**
 * The texts that compute with subgroup matrices or in f16 as Dawn reads them, on its null backend, which offers the feature everywhere and runs nothing. Only
 * for who installed Dawn: a part of `deno task test:dawn`.
 */
import { assert, assertEquals } from "@std/assert";
import { subgroupMatrixForward } from "../../kernels/attention/subgroup_matrix_wgsl.ts";
import { subgroupMatrixBackward } from "../../kernels/attention/subgroup_matrix_backward_wgsl.ts";
import { halfHeadsWgsl } from "../../kernels/attention/half_heads.ts";
import { tiledHalfForward } from "../../kernels/attention/tiled_half_wgsl.ts";
import { openDawn } from "../../kernels/dawn/dawn.ts";
import { requestGpu } from "../../kernels/gpu.ts";
import { halfRowsWgsl } from "../../kernels/linear/half_rows_wgsl.ts";
import { subgroupMatrixWgsl } from "../../kernels/linear/subgroup_matrix_wgsl.ts";
import { TILES } from "../../kernels/linear/subgroup_matrix_choice.ts";
import { layerNormRows } from "../../kernels/layer_norm/layer_norm.ts";
import { SUBGROUP_MATRICES } from "../../kernels/matrix_primitives.ts";
import { rmsNormRows } from "../../kernels/rms_norm/rms_norm.ts";
import { swigluBackwardRows, swigluRows } from "../../kernels/swiglu/swiglu.ts";
import centredKeysCode from "../../kernels/attention/centred_keys.wgsl" with { type: "text" };
import centredKeysF16Code from "../../kernels/attention/centred_keys_f16.wgsl" with { type: "text" };

const SHAPES = [{ rows: 16, columns: 16, depth: 16 }, { rows: 16, columns: 8, depth: 16 }, { rows: 8, columns: 8, depth: 8 }];

Deno.test({
  name: "Dawn takes the texts that compute with subgroup matrices without an error or a warning",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using gpu = await requestGpu({ gpu: await openDawn({ backend: "null" }) });
    assert(gpu.has("chromium-experimental-subgroup-matrix" as GPUFeatureName));
    const [gateUp, dy] = [gpu.tensor([2, 64]), gpu.tensor([2, 32])];
    const norm = { x: dy, weight: gpu.tensor([32]), bias: gpu.tensor([32]), eps: 1e-6 };
    const sources = [undefined, swigluRows({ gateUp }), swigluBackwardRows({ gateUp, dy }), rmsNormRows(norm), layerNormRows(norm)];
    const texts = [
      ...sources.map((source) => [
        `f16 rows of ${source?.label}`,
        halfRowsWgsl({ threads: 128, held: 7, peak: 14, source }),
      ]),
      ["centred f16 keys", `enable f16;\n${centredKeysCode}\n${centredKeysF16Code}`],
    ];
    for (const dtype of ["bf16", "f16", "int8", "int4"] as const) {
      for (const form of ["rows", "columns"] as const) {
        for (const shape of SHAPES) {
          const epilogue = { bias: true, activation: "gelu", residual: true, accumulate: true } as const;
          for (const tile of TILES) {
            for (const [bounded, wide, split] of [[true, false, false], [false, true, true]]) {
              const { label, code } = subgroupMatrixWgsl(form, { dtype, epilogue, shape, lanes: 32, tile, bounded, wide, split });
              texts.push([`${label} ${JSON.stringify(shape)}`, `enable subgroups; ${code}`]);
            }
          }
        }
      }
    }
    for (const shape of SHAPES) {
      for (const headDim of [20, 80, 128]) {
        const beginning = "enable subgroups; diagnostic(off, subgroup_uniformity);";
        for (const subgroups of [4, 8]) {
          const code = subgroupMatrixForward({
            headDim,
            lse: true,
            causal: true,
            shape,
            lanes: 32,
            subgroups,
            primitives: SUBGROUP_MATRICES,
          });
          texts.push([`attention ${headDim} by ${subgroups} ${JSON.stringify(shape)}`, `${beginning} ${code}`]);
        }
        for (const rows of ["queries", "keys"] as const) {
          const backward = subgroupMatrixBackward({
            rows,
            headDim,
            causal: true,
            shape,
            lanes: 32,
            subgroups: 4,
            primitives: SUBGROUP_MATRICES,
          });
          texts.push([`attention, gradients of ${rows} ${headDim} ${JSON.stringify(shape)}`, `${beginning} ${backward}`]);
        }
      }
    }
    for (const headDim of [20, 80, 96]) {
      const half = tiledHalfForward(headDim, { causal: true });
      texts.push([`attention f16 ${headDim}`, `enable subgroups; diagnostic(off, subgroup_uniformity); ${half}`]);
      for (const across of [true, false]) texts.push([`attention f16 heads ${headDim}`, halfHeadsWgsl(headDim, { across })]);
    }
    for (const [label, code] of texts) {
      const { messages } = await gpu.device.createShaderModule({ label, code }).getCompilationInfo();
      assertEquals(messages.map(({ type, lineNum, message }) => `${type} in line ${lineNum}: ${message}`), [], label);
    }
  },
});
