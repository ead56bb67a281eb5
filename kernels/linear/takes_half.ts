/** Where products may be computed in f16, and what of. */
import type { Gpu } from "../gpu.ts";
import type { WeightType } from "./weight_types.ts";

/**
 * Whether products with these weights may round their factors to f16. Not with f32 weights: who keeps them wants f32 products.
 *
 * @param precision what the product itself asks for; the device's when left out
 */
export function takesHalf(gpu: Gpu, { dtype, precision = gpu.precision }: { dtype: WeightType; precision?: "f32" | "f16" }): boolean {
  return precision === "f16" && gpu.precision === "f16" && gpu.has("shader-f16") && dtype !== "f32";
}

/** The largest number of f16. */
export const LARGEST_HALF = 65504;

/** Whether weights may be beyond f16's range: where the largest magnitude is, or was not measured. */
export function mayLeaveHalf(largest: number | undefined): boolean {
  return !(largest !== undefined && largest <= LARGEST_HALF);
}
