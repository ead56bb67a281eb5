/** Rows of heads as f16 with a power of two each, laid out for the kernel that multiplies them: see `tiled_half_wgsl.ts`. */
import { grid1d } from "../grid.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { range } from "./text.ts";

/** Rows that lie in one vector, or numbers of a row. */
const FOUR = 4;
const WORKGROUP = 64;
/** The largest number of a row of a head gets between 2^PEAK and 2^(PEAK + 1). */
const PEAK = 2;
/** The largest power of two, as an exponent in a float: of queries and keys, and of values, whose powers become parts of weights that f32 holds. */
const MOST = { across: 253, along: 127 + 60 };

/**
 * Heads in f16; values lose digits where all of a row are below 2^-74. Letters: R rows filled up with zeros to a multiple of `tile`, H heads, hd numbers
 * of a head filled up to a multiple of 16.
 */
export interface HalfHeads {
  /** `across`: (H, hd, R) f16, four rows in a vector. Otherwise (H, R, hd). */
  readonly half: Tensor;
  /** (H, R) f32: what undoes a row's power of two. */
  readonly scales: Tensor;
  /** R */
  readonly rows: number;
}

/** Numbers of a head in memory. */
export function paddedHead(headDim: number): number {
  return Math.ceil(headDim / 16) * 16;
}

/** An invocation takes four rows of a head when `across`, else one. A row is read twice: for its largest number, and for all. */
export function halfHeadsWgsl(headDim: number, { across }: { across: boolean }): string {
  const [vectors, padded] = [headDim / 4, paddedHead(headDim)];
  const together = across ? FOUR : 1;
  const each = (text: (r: number) => string) => range(together).map(text).join("\n  ");
  const value = (r: number) => `scaled(place + ${r}u * params.stride, row + ${r}u, quad, scale${across ? `.${"xyzw"[r]}` : ""})`;
  const write = across
    ? `let rows = mat4x4<f32>(${range(FOUR).map(value).join(", ")});
    let columns = transpose(rows);
    let at = (head * ${padded}u + 4u * quad) * (params.filled / 4u) + row / 4u;
    ${range(FOUR).map((n) => `half[at + ${n}u * (params.filled / 4u)] = vec4<f16>(columns[${n}]);`).join(" ")}`
    : `half[(head * params.filled + row) * ${padded / 4}u + quad] = vec4<f16>(${value(0)});`;
  return `enable f16;
struct Params { rows: u32, filled: u32, heads: u32, offset: u32, stride: u32 } // offset and stride in vectors
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> half: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
// The power of two for a row, as bits: exponents as they stand in a float, 127 too large; it and its inverse stay normal numbers.
fn power(place: u32, row: u32) -> u32 {
  var peak = vec4<f32>();
  if (row < params.rows) { for (var quad = 0u; quad < ${vectors}u; quad++) { peak = max(peak, abs(x[place + quad])); } }
  let largest = max(max(peak.x, peak.y), max(peak.z, peak.w));
  return u32(clamp(${254 + PEAK} - i32(bitcast<u32>(largest) >> 23u), 1, ${across ? MOST.across : MOST.along}));
}
fn scaled(place: u32, row: u32, quad: u32, scale: f32) -> vec4<f32> {
  var value = vec4<f32>();
  if (row < params.rows && quad < ${vectors}u) { value = x[place + quad] * scale; }
  return value;
}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * ${WORKGROUP}u + local;
  let blocks = params.filled / ${together}u; // of a head
  let head = i / blocks;
  if (head >= params.heads) { return; }
  let row = i % blocks * ${together}u;
  let place = params.offset + row * params.stride + head * ${vectors}u;
  ${each((r) => `let power${r} = power(place + ${r}u * params.stride, row + ${r}u);`)}
  ${each((r) => `scales[head * params.filled + row + ${r}u] = bitcast<f32>((254u - power${r}) << 23u);`)}
  let scale = bitcast<${across ? "vec4<f32>" : "f32"}>(${
    across ? `vec4<u32>(${range(FOUR).map((r) => `power${r}`).join(", ")}) << vec4<u32>(23u)` : "power0 << 23u"
  });
  for (var quad = 0u; quad < ${padded / 4}u; quad++) {
    ${write}
  }
}`;
}

/** Arguments of {@linkcode halfHeads}. */
export interface HalfHeadsArgs {
  /** (rows, …) f32 */
  x: Tensor;
  /** Rows that are read. */
  rows: number;
  /** Heads beside each other in a row. */
  heads: number;
  /** Numbers of a head, a multiple of 4. */
  headDim: number;
  /** First vector of a row, and vectors from row to row. */
  offset: number;
  stride: number;
  /** Rows are filled up to a multiple of this, itself one of 4. */
  tile: number;
  /** Whether four rows lie in a vector. */
  across: boolean;
}

/** Records the rows in f16. */
export function halfHeads(plan: Plan, args: HalfHeadsArgs): HalfHeads {
  const { x, heads, headDim, offset, stride, tile, across } = args;
  const rows = Math.ceil(args.rows / tile) * tile;
  const half = plan.scratch([heads, rows, paddedHead(headDim)], { dtype: "f16", label: "heads in f16" });
  const scales = plan.scratch([heads, rows], { label: "scales of heads" });
  plan.dispatch({ label: `attention f16 heads ${headDim}${across ? " across" : ""}`, code: halfHeadsWgsl(headDim, { across }) }, {
    tensors: { x, half, scales },
    params: { rows: args.rows, filled: rows, heads, offset, stride },
    workgroups: grid1d(heads * rows / (across ? FOUR : 1), WORKGROUP),
  });
  return { half, scales, rows };
}
