/** Golden cases of the base model: tokenizer, pictures, vision tower, plain Qwen2-VL. P patches, L tokens, V vocabulary. */
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { decodePicture } from "../data/decode_picture.ts";
import type { Qwen2Vl } from "../load.ts";
import { answerLogits } from "../qwen2_vl/answer_loss.ts";
import { Generator } from "../qwen2_vl/generate.ts";
import type { Prompt } from "../qwen2_vl/prompt.ts";
import { embedRows, languageModel, NO_ROW } from "../qwen2_vl/language_model.ts";
import { mropePositions } from "../qwen2_vl/mrope_positions.ts";
import { limitLongestSide } from "../qwen2_vl/preprocess/smart_resize.ts";
import { resample } from "../qwen2_vl/preprocess/resample.ts";
import { expectPositions } from "../qwen2_vl/network.ts";
import { layoutSequences } from "../qwen2_vl/sequence_layout.ts";
import { patchPositions, stillFrame, visionTower } from "../qwen2_vl/vision_tower.ts";
import { encodePrompt } from "../text/prompt_tokens.ts";
import type { Comparison, Tolerances } from "./comparison.ts";
import type { GoldenFolder } from "./golden_folder.ts";

/** What a group of cases needs. */
export interface GoldenContext {
  /** The folder. */
  folder: GoldenFolder;
  /** Its model. */
  model: Qwen2Vl;
  /** Takes the results. */
  comparison: Comparison;
  /** What is allowed. */
  tolerances: Tolerances;
}

/** Token ids of strings, and back. */
export function tokenizerCases({ folder, model, comparison }: GoldenContext): void {
  const recorded = folder.case<{ strings: string[]; ids: number[][]; decoded: string[] }>("tokenizer");
  recorded?.strings.forEach((text, i) => {
    const place = { case: "tokenizer", name: JSON.stringify(text) };
    comparison.equal({ ...place, group: "ids" }, { actual: model.tokenizer.encode(text), expected: recorded.ids[i] });
    comparison.equal({ ...place, group: "decoded" }, {
      actual: model.tokenizer.decode(recorded.ids[i], { skipSpecialTokens: true }),
      expected: recorded.decoded[i],
    });
  });
}

/** Decoded pixels, resizing, patches, and the features of every picture. */
export async function pictureCases({ folder, model, comparison, tolerances }: GoldenContext): Promise<void> {
  const { processor, vision, gpu } = model;
  for (const key of folder.names("image/").filter((name) => name.endsWith("/rgb"))) {
    const name = key.split("/")[1];
    const place = { case: "image", name };
    const expected = (part: string) => folder.numbers(`image/${name}/${part}`);
    const picture = await decodePicture(await Deno.readFile(folder.path("images", name)), { name });
    comparison.equal({ ...place, group: "rgb" }, { actual: picture.data, expected: expected("rgb") });
    if (folder.has(`image/${name}/lanczos`)) {
      const reduced = resample(picture, limitLongestSide(picture), { filter: "lanczos" });
      comparison.equal({ ...place, group: "lanczos" }, { actual: reduced.data, expected: expected("lanczos") });
    }
    comparison.equal({ ...place, group: "resized" }, { actual: processor.resize(picture).data, expected: expected("smart_resized") });
    const processed = processor.process(picture);
    comparison.equal({ ...place, group: "grid" }, { actual: processed.grid, expected: expected("grid_thw") });
    if (folder.has(`image/${name}/pixel_values`)) {
      comparison.close({ ...place, group: "pixel_values" }, {
        actual: processed.pixels,
        expected: expected("pixel_values"),
        tolerance: 1e-6,
      });
    }
    const [features] = vision.encode(processed);
    const actual = await gpu.readFloats(features);
    gpu.destroy(features);
    comparison.close({ ...place, group: "vision" }, { actual, expected: expected("vision"), tolerance: tolerances.forward });
  }
}

/** Hidden states between the blocks of the vision tower. */
export async function visionTraceCases({ folder, model, comparison, tolerances }: GoldenContext): Promise<void> {
  if (!folder.has("vision_trace/pixel_values")) return;
  const { gpu, network } = model;
  const { vision } = network.config;
  const grid = folder.numbers("vision_trace/grid_thw") as unknown as [number, number, number];
  const frame = stillFrame(folder.numbers("vision_trace/pixel_values") as Float32Array, vision);
  const rows = grid[0] * grid[1] * grid[2];
  network.visionRotary.fill(Math.max(...grid));
  using plan = new Plan(gpu, "vision trace");
  const { features, hidden } = visionTower(plan, {
    network,
    pixels: plan.persistent([rows, frame.length / rows], { data: frame }),
    positions: plan.persistent([rows, 2], { dtype: "u32", data: patchPositions(grid, vision.merge) }),
    ranges: plan.persistent([rows, 2], { dtype: "u32", data: Uint32Array.from({ length: 2 * rows }, (_, i) => i % 2 ? rows : 0) }),
  });
  const kept = [...hidden, features].map((tensor) => keep(plan, tensor));
  plan.run();
  for (const [i, tensor] of kept.entries()) {
    const name = i < hidden.length ? `hidden_${i}` : "merged";
    const values = {
      actual: await gpu.readFloats(tensor),
      expected: folder.numbers(`vision_trace/${name}`),
      tolerance: tolerances.forward,
    };
    comparison.close({ case: "vision_trace", group: i < hidden.length ? "hidden" : "merged", name }, values);
  }
}

/** Plain Qwen2-VL with M-RoPE: ids, positions, all logits, and greedy answers. */
export async function qwen2VlCases({ folder, model, comparison, tolerances }: GoldenContext): Promise<void> {
  for (const key of folder.names("qwen2vl/").filter((name) => name.endsWith("/input_ids"))) {
    const name = key.split("/")[1];
    const place = { case: "qwen2vl", name };
    const expected = (part: string) => folder.numbers(`qwen2vl/${name}/${part}`);
    const recorded = folder.case<{ text: string; generated_text: string }>(`qwen2vl/${name}`);
    const { gpu, network, tokenizer, processor, vision } = model;
    const picture = processor.process(await decodePicture(await Deno.readFile(folder.path("images", name)), { name }));
    const pad = tokenizer.idOf("<|image_pad|>");
    const ids = Uint32Array.from(expected("input_ids"));
    if (recorded) {
      const actual = encodePrompt(tokenizer, recorded.text, { imageToken: "<|image_pad|>", imageCounts: [picture.tokens] });
      comparison.equal({ ...place, group: "input_ids" }, { actual, expected: ids });
    }
    const merge = network.config.vision.merge;
    const grid = [picture.grid[0], picture.grid[1] / merge, picture.grid[2] / merge] as const;
    const positions = mropePositions(ids.length, [{ start: ids.indexOf(pad), grid }]);
    const byAxis = [0, 1, 2].flatMap((axis) => Array.from(ids, (_, t) => positions[3 * t + axis]));
    comparison.equal({ ...place, group: "position_ids" }, { actual: byAxis, expected: expected("position_ids") });
    const [features] = vision.encode(picture);
    let seen = 0;
    const rows = { features: Uint32Array.from(ids, (id) => id === pad ? seen++ : NO_ROW) };
    const prompt = { ids: ids.map((id) => id === pad ? NO_ROW : id), positions, rows };
    const logits = await logitsOf(model, { prompt, sources: { features }, rows: [...ids.keys()] });
    comparison.close({ ...place, group: "logits" }, { actual: logits.logits, expected: expected("logits"), tolerance: tolerances.forward });
    if (tolerances.exactAnswers) {
      const wanted = expected("generated");
      using generator = new Generator(network, { maxNewTokens: wanted.length, sources: { features }, eosIds: [] });
      const { tokens: [tokens] } = await generator.generate([prompt]);
      comparison.equal({ ...place, group: "generated" }, { actual: tokens, expected: wanted });
      if (recorded) {
        const actual = tokenizer.decode(tokens, { skipSpecialTokens: true });
        comparison.equal({ ...place, group: "generated_text" }, { actual, expected: recorded.generated_text });
      }
    }
    gpu.destroy(features);
  }
}

/** Logits of some rows of a sequence (rows.length, V), and the embeddings that went in (L, D). */
export async function logitsOf(
  model: Qwen2Vl,
  options: { prompt: Prompt; sources: Record<string, Tensor>; rows: number[]; head?: Qwen2Vl["network"]["weights"]["head"] },
): Promise<{ logits: Float32Array; embeddings: Float32Array }> {
  const { gpu, network } = model;
  const { prompt, sources, rows, head = network.weights.head } = options;
  const L = prompt.ids.length;
  using plan = new Plan(gpu, "logits");
  const input = (data: ArrayLike<number>, shape: number[]) => plan.persistent(shape, { dtype: "u32", data: Uint32Array.from(data) });
  const layout = layoutSequences([{ length: L, positions: prompt.positions, answers: rows }], { rows: L, answers: rows.length });
  expectPositions(network, 1 + Math.max(...layout.positions));
  const others = Object.entries(sources).filter(([name]) => prompt.rows?.[name])
    .map(([name, source]) => ({ source, index: input(prompt.rows![name], [L]) }));
  const x = embedRows(plan, { network, ids: input(prompt.ids, [L]), others });
  const { hidden } = languageModel(plan, {
    network,
    x,
    rows: { positions: input(layout.positions, [L, 3]), ranges: input(layout.ranges, [L, 2]) },
    answers: {
      index: input(layout.answers, [rows.length]),
      positions: input(layout.answerPositions, [rows.length, 3]),
      ranges: input(layout.answerRanges, [rows.length, 2]),
    },
  });
  const [embeddings, logits] = [keep(plan, x), keep(plan, answerLogits(plan, { hidden, head }))];
  plan.run();
  const [a, b] = await gpu.read(embeddings, logits);
  const width = logits.shape[1];
  const wide = new Float32Array(b.buffer);
  const cut = new Float32Array(rows.length * head.rows);
  rows.forEach((_, r) => cut.set(wide.subarray(r * width, r * width + head.rows), r * head.rows));
  return { embeddings: new Float32Array(a.buffer), logits: cut };
}

function keep(plan: Plan, tensor: Tensor): Tensor {
  const kept = plan.persistent(tensor.shape);
  plan.copy(tensor, kept);
  return kept;
}
