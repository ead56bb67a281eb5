/** Where products may be computed in f16. */
import type { Gpu } from "../gpu.ts";
import type { WeightType } from "./weight_types.ts";

/** Whether products with these weights may round their factors to f16. Not with f32 weights: who keeps them wants f32 products. */
export function takesHalf(gpu: Gpu, dtype: WeightType): boolean {
  return gpu.precision === "f16" && gpu.has("shader-f16") && dtype !== "f32";
}
