/** Number types in which the weights of a matrix are kept on the GPU, and how many numbers a row takes there. */

/** Weights as numbers of their own, two 16-bit ones in a 32-bit word. */
export type FloatWeightType = "f32" | "bf16" | "f16";

/** Weights as whole numbers, four or eight in a 32-bit word, with an f16 scale for every {@linkcode GROUP} of a row. */
export type QuantizedType = "int8" | "int4";

/** Number types in which weights are kept. */
export type WeightType = FloatWeightType | QuantizedType;

/** All of them. */
export const WEIGHT_TYPES: readonly WeightType[] = ["f32", "f16", "bf16", "int8", "int4"];

/** Whether a text names one of them. */
export function isWeightType(type: string): type is WeightType {
  return (WEIGHT_TYPES as readonly string[]).includes(type);
}

/** Weights of a row that share a scale; a row's last group is filled up with zeros. */
export const GROUP = 128;

/** Whether weights of this type have scales. */
export function isQuantized(type: string): type is QuantizedType {
  return type === "int8" || type === "int4";
}

/** Numbers of a row in memory: whole groups of quantised weights, else as many as the row has. */
export function storedColumns(columns: number, type: WeightType): number {
  return isQuantized(type) ? Math.ceil(columns / GROUP) * GROUP : columns;
}
