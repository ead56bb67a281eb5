/** `deno task bench`: measures this machine. Medians; ratios within one run. */
import { openModelFolder } from "../pipeline/checkpoint/model_folder.ts";
import { MaspError } from "../pipeline/errors.ts";
import { parseConfig } from "../pipeline/qwen2_vl/config.ts";
import { expectedTensors } from "../pipeline/qwen2_vl/weights.ts";
import { makeCheckpoint } from "../tests/bench/checkpoint/make_checkpoint.ts";
import { type ModelSize, publishedConfig } from "../tests/bench/checkpoint/published_config.ts";
import { bench7b } from "../tests/bench/large/bench_7b.ts";
import { parseSizes } from "../tests/bench/large/random_pictures.ts";
import { benchLoad } from "../tests/bench/load.ts";
import { benchProducts } from "../tests/bench/products.ts";
import { benchSteps } from "../tests/bench/steps.ts";
import { benchStudy } from "../tests/bench/study.ts";
import { benchTune } from "../tests/bench/tune.ts";
import { isWeightType, WEIGHT_TYPES } from "../kernels/linear/weight_types.ts";
import { automaticWeights, type LoadQwen2VlOptions } from "../pipeline/load.ts";
import { gpuFlags, type Invocation, numberFlag, openGpu, runCommand, textFlag, wholeFlag } from "./command.ts";
import { Progress } from "./progress.ts";

/**
 * Rows of products that the tuner measures: decoding one or several sequences, answers, words, patches of pictures. Tiles have up to 128 rows, and what
 * is the fastest depends on how many there are as long as they are few.
 */
const TUNED_ROWS = [1, 8, 12, 16, 48, ...Array.from({ length: 12 }, (_, i) => 128 * (i + 1)), 2048, 3072, 4096];
const BENCHES = { step: benchSteps, load: benchLoad, products: benchProducts };

await runCommand({
  name: "bench",
  args: "[step] [load] [products] | tune [CHECKPOINT] | study | 7b CHECKPOINT | make-checkpoint OUT",
  summary: "step: stage-1 and stage-2 steps and an evaluated picture. load: a checkpoint onto the GPU. products: matrix products.\n" +
    "tune: measures every kernel that a model's products and attention might use; later runs on this adapter take the fastest.\n" +
    "study: the demo's settings over several seeds, with and without aspect tokens.\n" +
    "7b: times, GPU memory and agreement with PyTorch for a large checkpoint, with random pictures; needs no network.\n" +
    "make-checkpoint: a folder in the published format with seeded random weights, for trying full sizes without a download.\n" +
    "PyTorch's side of the comparison: python tests/bench/pytorch_reference.py CHECKPOINT --out ref.json --values values.safetensors",
  flags: {
    model: { help: "step, load: checkpoint folder (demo/model)", value: "DIR" },
    data: { help: "step: data set with annotations (demo/emoset)", value: "DIR" },
    steps: { help: "steps that are measured (60; 7b: 24 in each measurement)", value: "N" },
    profile: { help: "step, 7b: time, FLOP/s and bytes/s by kernel, from time stamps" },
    size: { help: "make-checkpoint, tune: 2b or 7b", value: "SIZE" },
    layers: { help: "make-checkpoint: decoder layers (28)", value: "N" },
    "vision-layers": { help: "make-checkpoint: vision blocks (32)", value: "N" },
    rows: { help: `tune: rows of the products (${TUNED_ROWS.join()})`, value: "NUMBERS" },
    seeds: { help: "study: seeds (1,2,3)", value: "NUMBERS" },
    test: { help: "study: test data (demo/emoset)", value: "DIR" },
    seed: { help: "make-checkpoint: seed of the weights (0)", value: "N" },
    outliers: { help: "make-checkpoint: weights with outliers as published ones have, which rounding is hardest on" },
    "shard-gib": { help: "make-checkpoint: largest file in GiB (4)", value: "N" },
    reference: { help: "7b: PyTorch's times", value: "FILE" },
    values: { help: "7b: PyTorch's inputs and results at full shapes", value: "FILE" },
    weights: { help: "load, tune, 7b: number type of the weights on the GPU (auto)", value: "TYPE" },
    pictures: { help: "7b: picture sizes (640x480,1024x768)", value: "SIZES" },
    phases: { help: "7b: some of evaluation,stage1,stage1-recompute,stage2,stage2-recompute,PHASE-int4", value: "NAMES" },
    batch: { help: "7b: pictures of a pass in the batched evaluation (8; 1: no such measurement)", value: "N" },
    repeats: { help: "7b: measurements, or passes of an evaluation, that count (7)", value: "N" },
    tokens: { help: "7b: tokens over which a further token is measured (32)", value: "N" },
    tune: { help: "7b: measures the kernels first, as the bench tune does" },
    out: { help: "7b: results as JSON (outputs/bench/7b.json)", value: "FILE" },
  },
}, async (invocation) => {
  const [name, path] = invocation.args;
  if (name === "make-checkpoint") return await make(invocation, path);
  if (name === "7b") return await large(invocation, path);
  if (name === "tune") return await tune(invocation, path);
  if (name === "study") return await study(invocation);
  const { args } = invocation;
  const wanted = args.length ? args : Object.keys(BENCHES);
  for (const name of wanted) {
    if (!(name in BENCHES)) {
      throw new MaspError(`There is no bench "${name}"; there are ${Object.keys(BENCHES).join(", ")}, tune, study, 7b, make-checkpoint`);
    }
  }
  await using gpu = await openGpu(gpuFlags(invocation));
  for (const name of wanted) {
    console.log(`\n## ${name}`);
    await BENCHES[name as keyof typeof BENCHES](gpu, {
      model: textFlag(invocation, "model") ?? "demo/model",
      data: textFlag(invocation, "data") ?? "demo/emoset",
      steps: wholeFlag(invocation, "steps", 1) ?? 60,
      profile: invocation.flags.profile === true,
      weights: weightsFlag(invocation),
    });
  }
});

function weightsFlag(invocation: Invocation): LoadQwen2VlOptions["weights"] {
  const type = textFlag(invocation, "weights") ?? "auto";
  if (type === "auto" || isWeightType(type)) return type;
  throw new MaspError(`--weights is "${type}", expected auto, ${WEIGHT_TYPES.join(", ")}`);
}

function sizeFlag(invocation: Invocation): ModelSize | undefined {
  const size = textFlag(invocation, "size");
  if (size === undefined || size === "2b" || size === "7b") return size;
  throw new MaspError(`--size is "${size}"; expected 2b or 7b`);
}

async function make(invocation: Invocation, dir: string | undefined): Promise<void> {
  const size = sizeFlag(invocation);
  if (!dir || !size) {
    throw new MaspError(
      "Name a size and a folder: deno task bench make-checkpoint --size 2b|7b [--layers N] [--vision-layers N] [--outliers] OUT",
    );
  }
  const layers = { layers: wholeFlag(invocation, "layers", 1), visionLayers: wholeFlag(invocation, "vision-layers", 1) };
  const shardGib = numberFlag(invocation, "shard-gib") ?? 4;
  if (shardGib <= 0) throw new MaspError(`--shard-gib is ${shardGib}; expected a number above 0`);
  const begin = performance.now();
  let progress: Progress | undefined;
  const bytes = await makeCheckpoint(dir, {
    config: publishedConfig(size, layers),
    seed: wholeFlag(invocation, "seed", 0),
    outliers: invocation.flags.outliers === true,
    shardBytes: shardGib * 2 ** 30,
    onProgress: (done, total) => (progress ??= new Progress("MiB", Math.ceil(total / 2 ** 20))).update(Math.floor(done / 2 ** 20)),
  }).finally(() => progress?.[Symbol.dispose]());
  const seconds = (performance.now() - begin) / 1000;
  console.log(`Written: ${dir}, ${(bytes / 1e9).toFixed(2)} GB in ${seconds.toFixed(1)} s (${(bytes / seconds / 1e6).toFixed(0)} MB/s)`);
}

async function large(invocation: Invocation, checkpoint: string | undefined): Promise<void> {
  if (!checkpoint) {
    throw new MaspError(
      "Name a checkpoint folder: deno task bench 7b CHECKPOINT (deno task bench make-checkpoint makes one of random weights)",
    );
  }
  if (invocation.flags.tune) await tune(invocation, checkpoint);
  const count = (flag: string, otherwise: number) => wholeFlag(invocation, flag, 1) ?? otherwise;
  const { failures } = await bench7b({
    checkpoint,
    open: () => openGpu(gpuFlags(invocation)),
    weights: weightsFlag(invocation),
    sizes: parseSizes(textFlag(invocation, "pictures") ?? "640x480,1024x768"),
    phases: textFlag(invocation, "phases")?.split(","),
    batch: count("batch", 8),
    repeats: count("repeats", 7),
    steps: count("steps", 24),
    tokens: count("tokens", 32),
    profile: invocation.flags.profile === true,
    reference: textFlag(invocation, "reference"),
    values: textFlag(invocation, "values"),
    out: textFlag(invocation, "out") ?? "outputs/bench/7b.json",
  });
  const failed = Object.entries(failures).map(([phase, reason]) => `  ${phase}: ${reason}`);
  if (failed.length) throw new MaspError(`${failed.length} phase(s) failed; the others' figures stand above:\n${failed.join("\n")}`);
}

async function tune(invocation: Invocation, checkpoint?: string): Promise<void> {
  const size = sizeFlag(invocation);
  const weights = weightsFlag(invocation);
  const rows = numbers(invocation, "rows", { least: 1 }) ?? TUNED_ROWS;
  const model = size && !checkpoint ? { config: publishedConfig(size), stored: "BF16" } : await modelOf(checkpoint ?? "demo/model");
  const config = parseConfig(model.config, { name: size ?? checkpoint ?? "demo/model" });
  await using gpu = await openGpu(gpuFlags(invocation));
  await benchTune(gpu, {
    config,
    weights: weights === "auto" ? automaticWeights(gpu, expectedTensors(config)) : weights,
    stored: model.stored,
    rows,
    repeats: wholeFlag(invocation, "repeats", 1) ?? 7,
  });
}

/** A checkpoint's configuration, and the number type of its layers' weights. */
async function modelOf(dir: string): Promise<{ config: Record<string, unknown>; stored: string }> {
  using folder = await openModelFolder(dir);
  const { dtype = "BF16" } = folder.tensor("model.layers.0.self_attn.q_proj.weight") ?? {};
  return { config: folder.config, stored: dtype };
}

async function study(invocation: Invocation): Promise<void> {
  await using gpu = await openGpu(gpuFlags(invocation));
  await benchStudy(gpu, {
    config: "config/demo.yaml",
    data: textFlag(invocation, "test") ?? "demo/emoset",
    seeds: numbers(invocation, "seeds") ?? [1, 2, 3],
    out: textFlag(invocation, "out") ?? "outputs/study",
  });
}

function numbers(invocation: Invocation, flag: string, { least = 0 } = {}): number[] | undefined {
  const values = textFlag(invocation, flag)?.split(",").map(Number);
  if (values?.some((value) => !Number.isSafeInteger(value) || value < least)) {
    throw new MaspError(
      `--${flag} is "${textFlag(invocation, flag)}"; expected whole numbers${least ? ` from ${least} on` : ""} with commas between them`,
    );
  }
  return values;
}
