/** How the number types of weights are read in WGSL: the element type of four weights and the way to `vec4<f32>`. */
import type { WeightType } from "./matrix.ts";

/** WGSL pieces of a storage type. */
export interface StorageWgsl {
  /** Type of four consecutive weights. */
  readonly four: string;
  /** Type of eight consecutive weights, where one load brings eight. */
  readonly word: string;
  /** `fn unpack4(…) -> vec4<f32>` of four weights and `fn weight_at(i: u32) -> f32` of the binding `words`. */
  readonly functions: string;
}

const BF16 = `
fn unpack4(v: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u));
}`;
const F16 = `
fn unpack4(v: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}`;

/** Pieces for a storage type. */
export const STORAGE_WGSL: Record<WeightType, StorageWgsl> = {
  f32: { four: "vec4<f32>", word: "f32", functions: "fn unpack4(v: vec4<f32>) -> vec4<f32> { return v; }" },
  bf16: { four: "vec2<u32>", word: "u32", functions: BF16 },
  f16: { four: "vec2<u32>", word: "u32", functions: F16 },
};

/** Reads single weights, for sizes that are no multiple of four. */
export const SCALAR_WGSL: Record<WeightType, string> = {
  f32: "fn weight(i: u32) -> f32 { return w[i]; }",
  bf16: "fn weight(i: u32) -> f32 { let v = w[i >> 1u]; return bitcast<f32>(select(v << 16u, v & 0xffff0000u, (i & 1u) == 1u)); }",
  f16: "fn weight(i: u32) -> f32 { let v = unpack2x16float(w[i >> 1u]); return select(v.x, v.y, (i & 1u) == 1u); }",
};
