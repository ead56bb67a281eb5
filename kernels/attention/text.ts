/** Pieces of text that the attention kernels share. */

/** 0 … n-1. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** A text for each of 0 … n-1, in lines. */
export const repeat = (n: number, text: (i: number) => string): string => range(n).map(text).join("\n");

/** How the tiles of all heads are handed to workgroups. */
export interface TileOrder {
  /** What a tile's rows are. */
  rows: "queries" | "keys";
  /** Rows of a tile. */
  tile: number;
  /** See `AttentionOperands`. */
  causal: boolean;
}

/**
 * A workgroup's `head`, `kv_head` and `first_row`. GPUs take workgroups up with x running fastest. When late queries see the most keys, the tiles of
 * all heads that have the most to do come first, so that none of them begins when the others are nearly done; otherwise the tiles of one head lie
 * beside each other, which read the same keys.
 */
export function tilePlace({ rows, tile, causal }: TileOrder): string {
  const along = causal ? "y" : "x";
  return `let head = group.${causal ? "x" : "y"};
  let kv_head = head / (params.heads / params.kv_heads);
  let first_row = ${rows === "queries" ? `(groups.${along} - 1u - group.${along})` : `group.${along}`} * ${tile}u;`;
}

/** The workgroups that {@linkcode tilePlace} expects. */
export function tileGroups(options: { rows: number; tile: number; heads: number; causal: boolean }): [number, number] {
  const tiles = Math.ceil(options.rows / options.tile);
  return options.causal ? [options.heads, tiles] : [tiles, options.heads];
}

/** An invocation's share of rows of vectors, where each stands: `of_row` and `quad`. */
export function vectorsOfRows(
  { rows, quads, threads }: { rows: number; quads: number; threads: number },
  text: (i: number) => string,
): string {
  return repeat(Math.ceil(rows * quads / threads), (i) => {
    const guard = (i + 1) * threads > rows * quads ? `if (at < ${rows * quads}u) ` : "";
    return `{ let at = thread + ${i * threads}u; let of_row = at / ${quads}u; let quad = at % ${quads}u; ${guard}{ ${text(i)} } }`;
  });
}

/** Four numbers as f16, what is beyond its range as its largest. */
export const inHalf = (value: string): string => `vec4<f16>(clamp(${value}, vec4<f32>(-65504.0), vec4<f32>(65504.0)))`;

/** Parameters and ranges, the same in every attention kernel. Places count vec4s. */
export const PARAMS_WGSL = `
struct Params {
  rows: u32, // queries
  keys: u32,
  heads: u32,
  kv_heads: u32,
  scale: f32,
  q_offset: u32, // of the first row, and from row to row, in vec4s
  q_stride: u32,
  k_offset: u32,
  k_stride: u32,
  v_offset: u32,
  v_stride: u32,
  dq_stride: u32,
  dk_offset: u32,
  dv_offset: u32,
  dkv_stride: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read> ranges: array<vec2<u32>>; // (rows): first key, and one after the last
const LOG2E: f32 = 1.4426950408889634;
const LOWEST: f32 = -3.0e38; // stands for minus infinity

// The logarithm of sum · 2^largest. An adapter's log may be rough, so one Newton step follows.
fn log_sum_exp(largest: f32, sum: f32) -> f32 {
  if (!(sum > 0.0)) { return 0.0; }
  let rough = log(sum);
  return largest / LOG2E + (rough + (sum * exp(-rough) - 1.0));
}`;

/**
 * What the rows of a workgroup see of the keys: each is noted, and then, behind a barrier, one invocation keeps in `span` what was noted: the first key
 * that a row sees and one after the last; the first that all rows see and one after the last.
 */
export const SPAN_WGSL = `
var<workgroup> most: array<atomic<u32>, 4>; // the largest of what the next lines say
const FROM_END = 0u; // of where the keys of a row begin, counted down
const TO_END = 1u; // of where they end
const FROM = 2u; // of where they begin
const TO = 3u; // of where they end, counted down
var<workgroup> span: vec4<u32>;
// A row sees the keys from start on, none where end is not behind it.
fn note_keys(start: u32, end: u32) {
  if (end > start) {
    atomicMax(&most[FROM_END], 0xffffffffu - start);
    atomicMax(&most[TO_END], end);
  }
  atomicMax(&most[FROM], start);
  atomicMax(&most[TO], 0xffffffffu - select(0u, end, end > start));
}
fn noted_keys() -> vec4<u32> {
  return vec4<u32>(0xffffffffu - atomicLoad(&most[FROM_END]), atomicLoad(&most[TO_END]), atomicLoad(&most[FROM]), 0xffffffffu - atomicLoad(&most[TO]));
}`;

/** What every kernel that reads queries, keys and values begins with. */
export const OPERANDS_WGSL = `${PARAMS_WGSL}
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>; // (keys, kvHeads · headDim)
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>; // (keys, kvHeads · headDim)
fn q_place(row: u32) -> u32 { return params.q_offset + row * params.q_stride; }
fn k_place(row: u32) -> u32 { return params.k_offset + row * params.k_stride; }
fn v_place(row: u32) -> u32 { return params.v_offset + row * params.v_stride; }
fn dq_place(row: u32) -> u32 { return row * params.dq_stride; }
fn dk_place(row: u32) -> u32 { return params.dk_offset + row * params.dkv_stride; }
fn dv_place(row: u32) -> u32 { return params.dv_offset + row * params.dkv_stride; }`;

/** What kernels of the backward pass read beside the operands. */
export const GRADIENT_WGSL = `
@group(0) @binding(5) var<storage, read> dy: array<vec4<f32>>; // (rows, heads · headDim)
@group(0) @binding(6) var<storage, read> lse: array<f32>; // (rows, heads)
fn y_place(row: u32, head: u32) -> u32 { return row * params.heads + head; }`;
