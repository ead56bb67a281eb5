/** How weights are read in WGSL: four at a time or one by one, as f32. */
import { GROUP, type QuantizedType, type WeightType } from "./weight_types.ts";

/** WGSL pieces for loads of 16 bytes: weights, or levels that share a scale. */
export interface WideReading {
  /** Fours of weights in a load. */
  readonly fours: number;
  /** What {@linkcode WideReading.four} needs, and for quantised weights `fn scale_at(group: u32) -> f32`. */
  readonly functions: string;
  /** Expression of four number `f` of a load (`vec4<f32>`): weights, or levels without their scale. */
  four(load: string, f: number): string;
}

/** WGSL pieces of a storage type, for weights in a binding `w` (and `scales`). */
export interface StorageWgsl {
  /** Element type of `w` where weights are read four at a time. */
  readonly four: string;
  /** Element type of `w` where they are read one by one. */
  readonly word: string;
  /** Functions that {@linkcode StorageWgsl.read4} needs. */
  readonly functions: string;
  /** `fn weight(i: u32) -> f32`: the weight at place i. */
  readonly scalar: string;
  /** Whether there is a second binding `scales: array<u32>`. */
  readonly scales: boolean;
  /** How weights of 16 bits or less are read as `vec4<u32>`. */
  readonly wide?: WideReading;
  /** Expression of the four weights (`vec4<f32>`) at place 4 · `at`. */
  read4(at: string): string;
  /** Expression of the places of a row that has `columns` weights (an expression, too), quantised rows being filled up. */
  stride(columns: string): string;
}

const BF16 = `
fn unpack4(v: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u));
}`;
const F16 = `
fn unpack4(v: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}`;

/** Eight numbers of 16 bits in a load. */
const eight = (functions: string): WideReading => ({ fours: 2, functions, four: (load, f) => `unpack4(${load}.${f ? "zw" : "xy"})` });

const float = { scales: false, read4: (at: string) => `unpack4(w[${at}])`, stride: (columns: string) => columns };

const STORAGE: Record<WeightType, StorageWgsl> = {
  f32: {
    ...float,
    four: "vec4<f32>",
    word: "f32",
    functions: "fn unpack4(v: vec4<f32>) -> vec4<f32> { return v; }",
    scalar: "fn weight(i: u32) -> f32 { return w[i]; }",
  },
  bf16: {
    ...float,
    four: "vec2<u32>",
    word: "u32",
    functions: BF16,
    wide: eight(BF16),
    scalar: "fn weight(i: u32) -> f32 { let v = w[i >> 1u]; return bitcast<f32>(select(v << 16u, v & 0xffff0000u, (i & 1u) == 1u)); }",
  },
  f16: {
    ...float,
    four: "vec2<u32>",
    word: "u32",
    functions: F16,
    wide: eight(F16),
    scalar: "fn weight(i: u32) -> f32 { let v = unpack2x16float(w[i >> 1u]); return select(v.x, v.y, (i & 1u) == 1u); }",
  },
  int8: quantized("int8"),
  int4: quantized("int4"),
};

/**
 * A level from -128 to 127 (-8 to 7) is kept as a number without sign. Put into the last bits of 2²³ it is a float that is off by a constant,
 * exactly: cheaper than a conversion on most GPUs.
 */
function quantized(type: QuantizedType): StorageWgsl {
  const bits = type === "int8" ? 8 : 4;
  const mask = `0x${(2 ** bits - 1).toString(16)}u`;
  const zero = `${2 ** 23 + 2 ** (bits - 1)}.0`;
  const perWord = 32 / bits;
  const scale = `
fn scale_at(group: u32) -> f32 {
  let pair = unpack2x16float(scales[group >> 1u]);
  return select(pair.x, pair.y, (group & 1u) == 1u);
}`;
  const levels = `${scale}
fn levels4(v: u32) -> vec4<f32> {
  let levels = vec4<u32>(v, v >> ${bits}u, v >> ${2 * bits}u, v >> ${3 * bits}u) & vec4<u32>(${mask});
  return bitcast<vec4<f32>>(levels | vec4<u32>(0x4b000000u)) - ${zero};
}`;
  const word = type === "int8" ? "w[at]" : "w[at >> 1u] >> (16u * (at & 1u))";
  return {
    four: "u32",
    word: "u32",
    scales: true,
    wide: {
      fours: perWord,
      functions: levels,
      four: (load, f) => type === "int8" ? `levels4(${load}.${"xyzw"[f]})` : `levels4(${load}.${"xyzw"[f >> 1]} >> ${16 * (f & 1)}u)`,
    },
    functions: `${levels}
fn weights4(at: u32) -> vec4<f32> { return levels4(${word}) * scale_at(at / ${GROUP / 4}u); }`,
    scalar: `${scale}
fn weight(i: u32) -> f32 {
  let level = (w[i / ${perWord}u] >> (${bits}u * (i % ${perWord}u))) & ${mask};
  return (bitcast<f32>(level | 0x4b000000u) - ${zero}) * scale_at(i / ${GROUP}u);
}`,
    read4: (at) => `weights4(${at})`,
    stride: (columns) => `((${columns} + ${GROUP - 1}u) / ${GROUP}u * ${GROUP}u)`,
  };
}

/** Pieces for a storage type. */
export function storageWgsl(type: WeightType): StorageWgsl {
  return STORAGE[type];
}
