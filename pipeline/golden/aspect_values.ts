/** Aspect modules as a golden folder holds them. n queries, D hidden. */
import { AspectModules } from "../aspects/aspect_modules.ts";
import type { AspectParameters } from "../checkpoint/aspect_file.ts";
import type { GoldenFolder, GoldenTraining } from "./golden_folder.ts";
import type { GoldenContext } from "./model_cases.ts";

const PARTS = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"] as const;

/** Tensors of a view by the reference's names. */
export function valuesOf(parameters: AspectParameters, view: string): Record<string, Float32Array> {
  const { inProjWeight, inProjBias, outProjWeight, outProjBias } = parameters.attention.get(view)!;
  return {
    q_view: parameters.queries.get(view)!,
    in_proj_weight: inProjWeight,
    in_proj_bias: inProjBias.slice(),
    "out_proj.weight": outProjWeight,
    "out_proj.bias": outProjBias,
  };
}

/**
 * Parameters under a prefix of the folder.
 *
 * @param options tokens: n, queries of a view
 */
export function parametersOf(folder: GoldenFolder, options: { views: string[]; tokens: number; prefix: string }): AspectParameters {
  const { views, tokens, prefix } = options;
  const result: AspectParameters = {
    views,
    tokens,
    hidden: folder.shape(`${prefix}/q_view.${views[0]}`)[1],
    queries: new Map(),
    attention: new Map(),
  };
  for (const view of views) {
    const numbers = (name: string) => folder.numbers(`${prefix}/${name}`) as Float32Array;
    const [inProjWeight, inProjBias, outProjWeight, outProjBias] = PARTS.map((part) => numbers(`cross_attn.${view}.${part}`));
    result.queries.set(view, numbers(`q_view.${view}`));
    result.attention.set(view, { inProjWeight, inProjBias, outProjWeight, outProjBias });
  }
  return result;
}

/** The modules that the reference's stage 1 ended with. */
export function finalAspects({ folder, model }: GoldenContext): AspectModules {
  const { views = [], num_query_tokens: tokens = 5 } = folder.case<GoldenTraining>("stage1") ?? {};
  return new AspectModules(model.gpu, parametersOf(folder, { views, tokens, prefix: "stage1/final" }));
}
