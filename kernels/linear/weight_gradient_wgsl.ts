/** WGSL of dW += dyᵀ · x for a few rows, unrolled over them: a loop over so few costs more than what it does. */

/** Rows of one dispatch at most; more rows take several dispatches. */
export const ROWS_AT_ONCE = 8;

/** Rows of four outputs that an invocation goes through. */
export const OUTPUT_STRIP = 8;

/**
 * dweight (outputs, inputs) += dyᵀ · x over `rows` rows from `first_row` on; both widths multiples of 4. An invocation keeps its four
 * inputs of every row and goes through a strip of outputs.
 */
export function weightGradient(rows: number): string {
  const lines = (line: (i: number) => string) => Array.from({ length: rows }, (_, i) => line(i)).join("\n");
  const sum = (part: string) => Array.from({ length: rows }, (_, i) => `d${i}.${part} * v${i}`).join(" + ");
  return `
struct Params { outputs: u32, inputs: u32, first_row: u32 }
@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dweight: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let inputs = params.inputs / 4u;
  let outputs = params.outputs / 4u;
  let column = id.x;
  if (column >= inputs) { return; }
${lines((i) => `let v${i} = x[(params.first_row + ${i}u) * inputs + column];`)}
  let last = min(outputs, (id.y + 1u) * ${OUTPUT_STRIP}u);
  for (var output = id.y * ${OUTPUT_STRIP}u; output < last; output++) {
${lines((i) => `let d${i} = dy[(params.first_row + ${i}u) * outputs + output];`)}
    let at = 4u * output * inputs + column;
    dweight[at] += ${sum("x")};
    dweight[at + inputs] += ${sum("y")};
    dweight[at + 2u * inputs] += ${sum("z")};
    dweight[at + 3u * inputs] += ${sum("w")};
  }
}`;
}
