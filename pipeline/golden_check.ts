/** Compares this machine with a folder of golden values: does this GPU compute the right thing? */
import type { Gpu } from "../kernels/gpu.ts";
import type { WeightType } from "../kernels/linear/weight_types.ts";
import { takesHalf } from "../kernels/linear/takes_half.ts";
import { Comparison, type GoldenRow, tolerancesFor } from "./golden/comparison.ts";
import { openGoldenFolder } from "./golden/golden_folder.ts";
import { type GoldenContext, pictureCases, qwen2VlCases, tokenizerCases, visionTraceCases } from "./golden/model_cases.ts";
import { sampleCases } from "./golden/sample_cases.ts";
import { evaluationCases, fileCases } from "./golden/evaluation_cases.ts";
import { stage1Cases } from "./golden/stage1_cases.ts";
import { stage2Cases } from "./golden/stage2_cases.ts";
import { loadQwen2Vl } from "./load.ts";

export type { GoldenRow } from "./golden/comparison.ts";

/** Options of {@linkcode checkGolden}. */
export interface CheckGoldenOptions {
  /** Number type of the matrices; f32 when left out. The tolerances follow it. */
  weights?: WeightType;
}

/**
 * All cases of a folder in golden format, a row for each case and group of values.
 *
 * @param dir the folder; sizes, token ids and settings come from it
 * @throws {MaspError} when it is no such folder
 */
export async function* checkGolden(gpu: Gpu, dir: string, options: CheckGoldenOptions = {}): AsyncGenerator<GoldenRow> {
  const { weights = "f32" } = options;
  using folder = await openGoldenFolder(dir);
  using model = await loadQwen2Vl(gpu, folder.path("model"), { weights });
  const context: GoldenContext = {
    folder,
    model,
    comparison: new Comparison(),
    tolerances: tolerancesFor({ weights, half: takesHalf(gpu, { dtype: weights }) }),
  };
  const groups = [
    tokenizerCases,
    pictureCases,
    visionTraceCases,
    qwen2VlCases,
    sampleCases,
    fileCases,
    stage1Cases,
    stage2Cases,
    evaluationCases,
  ];
  for (const group of groups) {
    await group(context);
    yield* context.comparison.take();
  }
}
