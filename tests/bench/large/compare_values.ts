/**
 * Results at full shapes against PyTorch's in float32, from the file that `pytorch_reference.py --values` writes: features, logits, losses,
 * gradients of both stages. Letters: L tokens, A answer tokens, N visual tokens, D hidden, V vocabulary rows.
 */
import { Plan } from "../../../kernels/plan.ts";
import type { Tensor } from "../../../kernels/tensor.ts";
import { AspectModules } from "../../../pipeline/aspects/aspect_modules.ts";
import { openSafetensors, type SafetensorsFile } from "../../../pipeline/checkpoint/safetensors.ts";
import type { Qwen2Vl } from "../../../pipeline/load.ts";
import { Generator } from "../../../pipeline/qwen2_vl/generate.ts";
import { NO_ROW } from "../../../pipeline/qwen2_vl/language_model.ts";
import { headOf, PromptHead } from "../../../pipeline/qwen2_vl/prompt_head.ts";
import { passSize, TrainingPass, type TrainingSequence, withoutFirst } from "../../../pipeline/train/training_pass.ts";

/** How a result compares with PyTorch's. */
export interface Agreement {
  /** What was computed. */
  name: string;
  /** Norm of the difference over the norm of PyTorch's values. */
  error: number;
  /** Answer tokens whose most probable token is the same, among those where PyTorch's two best logits differ by more than the tolerance. */
  argMax?: { same: number; of: number };
}

/** Relative error up to which results agree. */
export const TOLERANCE = 5e-3;
const VIEW = "first";
const QUERIES = 5;

/** Computes everything that the file holds results of. */
export async function compareValues(model: Qwen2Vl, path: string): Promise<Agreement[]> {
  using file = openSafetensors(path);
  const floats = (name: string) => new Float32Array(file.read(name).buffer);
  const { gpu, network: { config: { text } } } = model;
  const grid = [...readIds(file, "grid")] as [number, number, number];
  const [features] = model.vision.encode({ pixels: floats("pixels"), grid });
  const uploaded = (name: string) => gpu.tensor(file.tensors.get(name)!.shape, { data: floats(name), label: name });
  const result: Agreement[] = [];
  const compare = async (name: string, tensor: Tensor, expected = floats(name)) => {
    result.push({ name, error: relativeError(await gpu.readFloats(tensor), expected) });
  };
  await compare("features", features);

  const sources = { aspects: uploaded("aspects"), features, prompt: uploaded("prompt") };
  const gradients = { aspects: likeZero(model, sources.aspects), prompt: likeZero(model, sources.prompt) };
  const ids = { head: readIds(file, "head"), tail1: readIds(file, "tail1"), tail2: readIds(file, "tail2") };
  const answers = file.tensors.get("answer")!.shape[0];
  const inside = { aspects: sources.aspects.shape[0], features: features.shape[0] };
  const second = sequenceOf(model, { head: ids.head, tail: ids.tail2, inside, prompt: sources.prompt.shape[0], answers });
  {
    using pass = runPass(model, second, { sources, gradients });
    await compare("stage2.loss", pass.loss);
    await compare("stage2.d_prompt", gradients.prompt);
    await compare("stage2.d_aspects", gradients.aspects);
  }
  result.push(await compareLogits(model, second, { name: "stage2.logits", sources, expected: floats("stage2.logits") }));

  const inProjWeight = floats("stage1.in_proj_weight");
  using modules = new AspectModules(gpu, {
    views: [VIEW],
    tokens: QUERIES,
    hidden: text.hidden,
    queries: new Map([[VIEW, floats("stage1.queries")]]),
    attention: new Map([[VIEW, {
      inProjWeight,
      inProjBias: floats("stage1.in_proj_bias"),
      outProjWeight: floats("stage1.out_proj.weight"),
      outProjBias: floats("stage1.out_proj.bias"),
    }]]),
  });
  using grown = new AspectModules(gpu, { views: [VIEW], tokens: QUERIES, hidden: text.hidden }); // zeros, which the gradients are added to
  const z = gpu.tensor([QUERIES, text.hidden], { label: "z" });
  const dz = likeZero(model, z);
  using forward = new Plan(gpu, "aspect tokens");
  modules.recordForward(forward, VIEW, { features, z });
  forward.run();
  await compare("stage1.z", z);
  const first = sequenceOf(model, { head: ids.head, tail: ids.tail1, inside: { aspects: QUERIES, features: 0 }, prompt: 0, answers });
  using pass = runPass(model, first, { sources: { aspects: z }, gradients: { aspects: dz } });
  using backward = new Plan(gpu, "gradient of the aspect module");
  modules.recordBackward(backward, VIEW, { features, dz, gradients: grown.parameters(VIEW) });
  backward.run();
  await compare("stage1.loss", pass.loss);
  const { queries, wq, wk, wv, wo, bv, bo } = grown.sections(grown.parameters(VIEW));
  const D = text.hidden;
  const third = (name: string, i: number, size: number) => floats(name).subarray(i * size, (i + 1) * size);
  await compare("stage1.d_queries", queries);
  for (const [i, [name, tensor]] of ([["q", wq], ["k", wk], ["v", wv]] as const).entries()) {
    await compare(`stage1.d_${name}_weight`, tensor, third("stage1.d_in_proj_weight", i, D * D));
  }
  await compare("stage1.d_v_bias", bv, third("stage1.d_in_proj_bias", 2, D));
  await compare("stage1.d_out_proj.weight", wo);
  await compare("stage1.d_out_proj.bias", bo);
  gpu.destroy(features, sources.aspects, sources.prompt, gradients.aspects, gradients.prompt, z, dz);
  return result;
}

/** The sequence of `sequence()` in the Python script, with the answer before its last two tokens. */
function sequenceOf(
  model: Qwen2Vl,
  parts: { head: Uint32Array; tail: Uint32Array; inside: { aspects: number; features: number }; prompt: number; answers: number },
): TrainingSequence {
  const { head, tail, inside, prompt, answers } = parts;
  const none = (count: number) => new Array<number>(count).fill(NO_ROW);
  const rows = (count: number) => Array.from({ length: count }, (_, i) => i);
  const between = [...none(prompt), model.tokenizer.idOf("<|vision_start|>"), ...none(inside.aspects + inside.features)];
  const ids = Uint32Array.from([...head, ...between, model.tokenizer.idOf("<|vision_end|>"), ...none(prompt), ...tail]);
  const source = (...at: [start: number, count: number][]) => {
    const index = new Uint32Array(ids.length).fill(NO_ROW);
    for (const [start, count] of at) index.set(rows(count), start);
    return index;
  };
  const picture = head.length + prompt + 1;
  return {
    ids,
    weight: 1,
    answer: [ids.length - 2 - answers, ids.length - 2],
    rows: {
      aspects: source([picture, inside.aspects]),
      features: source([picture + inside.aspects, inside.features]),
      prompt: source([head.length, prompt], [picture + inside.aspects + inside.features + 1, prompt]),
    },
  };
}

function runPass(
  model: Qwen2Vl,
  sequence: TrainingSequence,
  options: { sources: Record<string, Tensor>; gradients: Record<string, Tensor> },
): TrainingPass {
  const { network } = model;
  using promptHead = new PromptHead(network);
  const head = headOf(sequence.ids);
  const rest = withoutFirst(sequence, head.length);
  const size = passSize([rest]);
  const gradients = Object.fromEntries(Object.entries(options.gradients).map(([name, out]) => [name, { out, add: true }]));
  const before = promptHead.prepare(head, size.rows);
  const pass = new TrainingPass(network, { ...size, head: network.weights.head, sources: options.sources, gradients, promptHead: before });
  pass.write([rest]);
  pass.plan.run();
  return pass;
}

/** Logits of every answer row (A, V), each as the last row of a prompt of its own. */
async function compareLogits(
  model: Qwen2Vl,
  sequence: TrainingSequence,
  options: { name: string; sources: Record<string, Tensor>; expected: Float32Array },
): Promise<Agreement> {
  const { name, sources, expected } = options;
  const [start, end] = sequence.answer;
  using generator = new Generator(model.network, { maxNewTokens: 1, eosIds: [], sources });
  const width = expected.length / (end - start);
  const found = new Float32Array(expected.length);
  const argMax = { same: 0, of: 0 };
  for (let i = 0; i < end - start; i++) {
    const cut = (values: ArrayLike<number>) => Array.from(values).slice(0, start + i);
    const rows = Object.fromEntries(Object.entries(sequence.rows ?? {}).map(([source, index]) => [source, cut(index)]));
    const { logits } = await generator.generate([{ ids: cut(sequence.ids), rows }], { logits: true });
    found.set(logits![0], i * width);
    const wanted = expected.subarray(i * width, (i + 1) * width);
    const best = indexOfLargest(wanted);
    const rest = Float32Array.from(wanted);
    rest[best] = -Infinity;
    if (wanted[best] - wanted[indexOfLargest(rest)] <= TOLERANCE * Math.abs(wanted[best])) continue;
    argMax.of++;
    if (indexOfLargest(logits![0]) === best) argMax.same++;
  }
  return { name, error: relativeError(found, expected), argMax };
}

function likeZero({ gpu }: Qwen2Vl, tensor: Tensor): Tensor {
  return gpu.tensor(tensor.shape, { label: `gradient of ${tensor.label}` });
}

/** Whole numbers of a file, which PyTorch keeps in 64 bits. */
function readIds(file: SafetensorsFile, name: string): Uint32Array {
  return Uint32Array.from(new BigInt64Array(file.read(name).buffer as ArrayBuffer), Number);
}

/** Norm of the difference over the norm of the expected values. */
function relativeError(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) throw new Error(`${found.length} values, expected ${expected.length}`);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
