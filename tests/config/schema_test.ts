import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { loadSettings, type SettingsByStage, settingsYaml, type Stage } from "../../config/schema.ts";
import { MaspError } from "../../pipeline/errors.ts";
import { projectPath, withFolder } from "../pipeline/data/support.ts";

const VIEWS = ["facial_expression", "object", "scene", "human_action", "brightness", "colorfulness"];

/** Loads settings from a text. */
async function load<S extends Stage>(yaml: string, stage: S, overrides: Record<string, string | boolean> = {}) {
  let settings: SettingsByStage[S] | undefined;
  await withFolder({ "settings.yaml": yaml }, async (root) => {
    settings = await loadSettings(join(root, "settings.yaml"), { stage, overrides });
  });
  return settings!;
}

/** The message of the error that loading ends with. */
async function faults(yaml: string, stage: Stage, overrides: Record<string, string> = {}): Promise<string> {
  return (await assertRejects(() => load(yaml, stage, overrides), MaspError)).message;
}

const STAGE1 = "common: {model_name: m}\nstage1: {aspect_data_path: d}\n";
const STAGE2 = "common: {model_name: m}\nstage2: {train_data_path: d, dataname: EmoSet}\n";
const EVAL = "stage2: {model_name: m, test_data_path: d, dataname: FI}\n";

Deno.test("loadSettings: defaults are the reference's, and the folders of the stages agree", async () => {
  const one = await load(STAGE1, "stage1", { feature_cache: "none" });
  assertEquals(one.run, {
    epochs: 3,
    learningRate: 1e-5,
    warmupRatio: 0.03,
    schedule: "linear",
    batchSize: 1,
    gradientAccumulation: 1,
  });
  assertEquals(one.adamW, { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, maxNorm: 1, eightBit: true });
  assertEquals([one.stage, one.modelName, one.dataPath, one.seed, one.viewTokens], ["stage1", "m", "d", 3407, 5]);
  assertEquals([one.weights, one.skipBadImages, one.recompute, one.loggingSteps, one.saveEvery], ["auto", false, false, 16, 1000]);
  assertEquals([one.featureCache, one.maxSamples], [undefined, undefined]);
  assertEquals(one.views, VIEWS);
  assertEquals(one.promptsPath, projectPath("config/prompts.json"));
  const two = await load(STAGE2, "stage2");
  assertEquals([two.run.epochs, two.run.learningRate, two.promptTokens, two.layout, two.dataname], [1, 5e-6, 32, "code", "EmoSet"]);
  const last = await load(EVAL, "eval");
  assertEquals([last.maxNewTokens, last.outputDir, last.layout, last.dataPath], [4, "outputs/eval", "code", "d"]);
  assertEquals([two.aspectPath, last.aspectPath], [one.outputPath, one.outputPath]);
  assertEquals(last.softPromptPath, two.outputPath);
  assertEquals([one.outputPath, two.outputPath], ["outputs/stage1/aspect.safetensors", "outputs/stage2/soft_prompt.safetensors"]);
});

Deno.test("loadSettings: the project's own files load for their stages; what means nothing is named once", async () => {
  const train = projectPath("config/train.yaml");
  const one = await loadSettings(train, { stage: "stage1", overrides: { feature_cache: "none" } });
  assertEquals(one.ignored, ["fp16", "bf16", "dataset_text_field", "dataset_kwargs", "remove_unused_columns"]);
  assertEquals([one.run.learningRate, one.recompute, one.notices], [1e-5, true, []]);
  const two = await loadSettings(train, { stage: "stage2" });
  const last = await loadSettings(projectPath("config/eval.yaml"), { stage: "eval" });
  assertEquals([two.aspectPath, last.aspectPath], [one.outputPath, one.outputPath]);
  assertEquals([last.softPromptPath, last.ignored], [two.outputPath, []]);
  const demo = projectPath("config/demo.yaml");
  const first = await loadSettings(demo, { stage: "stage1" });
  assertEquals([first.seed, first.run.epochs, first.run.learningRate, first.run.warmupRatio, first.adamW.eightBit], [
    1,
    3,
    1e-3,
    0.1,
    false,
  ]);
  const second = await loadSettings(demo, { stage: "stage2" });
  assertEquals([second.run.epochs, second.run.learningRate, second.aspectPath], [6, 3e-2, first.outputPath]);
  const third = await loadSettings(demo, { stage: "eval" });
  assertEquals([third.aspectPath, third.softPromptPath, third.dataPath], [first.outputPath, second.outputPath, "demo/emoset"]);
  const { values: _, ...alone } = await loadSettings(projectPath("config/demo_eval.yaml"), { stage: "eval" });
  const { values: __, ...inside } = third;
  assertEquals(alone, inside);
});

Deno.test("loadSettings: every key of the reference is known", async () => {
  const common = `
    model_name: m
    prompt_json_path: p.json
    per_device_train_batch_size: 2
    gradient_accumulation_steps: 4
    warmup_ratio: 0.1
    fp16: false
    bf16: true
    logging_steps: 8
    optim: adamw_torch
    weight_decay: 0.02
    lr_scheduler_type: cosine
    seed: 7
    save_strategy: "no"
    gradient_checkpointing: true
    dataset_text_field: ""
    dataset_kwargs: {skip_prepare_dataset: true}
    remove_unused_columns: false
    num_special_tokens_in_prefix: 8
    VIEW_NAMES: [scene, object]`.replaceAll("\n    ", "\n  ");
  const settings = await load(
    `common:${common}
stage2:
  train_data_path: d
  ckpt_path: a.pth
  dataname: FI
  num_train_epochs: 2
  learning_rate: 2e-4
  output_dir: out
  output_path: out/prompt.pt
`,
    "stage2",
  );
  assertEquals(settings.run, {
    epochs: 2,
    learningRate: 2e-4,
    warmupRatio: 0.1,
    schedule: "cosine",
    batchSize: 2,
    gradientAccumulation: 4,
  });
  assertEquals([settings.adamW.eightBit, settings.adamW.weightDecay, settings.recompute, settings.saveEvery], [false, 0.02, true, 0]);
  assertEquals([settings.views, settings.promptTokens, settings.promptsPath], [["scene", "object"], 8, "p.json"]);
  assertEquals([settings.aspectPath, settings.outputPath, settings.outputDir, settings.loggingSteps], ["a.pth", "out/prompt.pt", "out", 8]);
  const last = await load(
    "stage2: {model_name: m, dataname: FI, test_data_path: t, soft_prompt_path: s.pt, eval_max_new_tokens: 6}",
    "eval",
  );
  assertEquals([last.softPromptPath, last.maxNewTokens], ["s.pt", 6]);
});

Deno.test("loadSettings: this program's own keys", async () => {
  const one = await load(
    STAGE1,
    "stage1",
    {
      weights: "bf16",
      save_steps: "10",
      max_steps: "5",
      feature_cache: "cache",
      num_view_tokens: "3",
      group_views: "2",
      batch: "16",
      max_grad_norm: "0",
      skip_bad_images: "true",
      adam_beta1: "0.8",
      adam_beta2: ".95",
      adam_epsilon: "1e-6",
      max_train_samples: "12",
    },
  );
  assertEquals([one.weights, one.saveEvery, one.run.maxSteps, one.featureCache, one.viewTokens], ["bf16", 10, 5, "cache", 3]);
  assertEquals(one.adamW, { betas: [0.8, 0.95], eps: 1e-6, weightDecay: 0.01, maxNorm: 0, eightBit: true });
  assertEquals([one.skipBadImages, one.maxSamples, one.groupViews, one.batch], [true, 12, 2, 16]);
  assertEquals((await load(STAGE1, "stage1", { max_steps: "-1" })).run.maxSteps, undefined);
  assertEquals((await load(STAGE2, "stage2", { layout: "paper" })).layout, "paper");
  assertEquals((await load(EVAL, "eval", { "max-eval-samples": "9" })).maxSamples, 9);
  for (const [yaml, stage] of [[STAGE1, "stage1"], [STAGE2, "stage2"], [EVAL, "eval"]] as const) {
    assertEquals((await load(yaml, stage, { "max-samples": "4" })).maxSamples, 4, stage);
  }
  assertEquals((await load(STAGE2, "stage2", { "max-samples": "4", "max-train-samples": "3" })).maxSamples, 3);
});

Deno.test("loadSettings: numbers, switches and lists as text, as PyYAML and command lines have them", async () => {
  for (const text of ["1e-5", "'1e-5'", "1.0e-5", '"0.00001"', "1E-5", "!!float 1e-5"]) {
    assertEquals((await load(`${STAGE1}  \n`.replace("d}", `d, learning_rate: ${text}}`), "stage1")).run.learningRate, 1e-5, text);
  }
  for (const [text, value] of [["yes", true], ["no", false], ["True", true], ["off", false], ["'false'", false]] as const) {
    assertEquals((await load(STAGE1.replace("d}", `d, gradient_checkpointing: ${text}}`), "stage1")).recompute, value, text);
  }
  assertEquals((await load(STAGE1.replace("d}", "d, save_strategy: false}"), "stage1")).saveEvery, 0);
  assertEquals((await load(STAGE1.replace("d}", "d, VIEW_NAMES: 'scene, object'}"), "stage1")).views, ["scene", "object"]);
  assertEquals((await load(STAGE1, "stage1", { seed: "1_000" })).seed, 1000);
});

Deno.test("loadSettings: save_strategy and save_steps", async () => {
  const every = async (more: string) => (await load(STAGE1.replace("d}", `d, ${more}}`), "stage1")).saveEvery;
  assertEquals(await every("save_strategy: steps"), 1000);
  assertEquals(await every("save_strategy: steps, save_steps: 5"), 5);
  assertEquals(await every("save_strategy: epoch"), "epoch");
  assertEquals(await every('save_strategy: "no", save_steps: 7'), 7);
});

Deno.test("loadSettings: the stage's section goes before common, a flag before both, in any spelling", async () => {
  const yaml = "common: {model_name: m, seed: 1, weight_decay: 0}\nstage1: {aspect_data_path: d, seed: 2}";
  const { seed, adamW } = await load(yaml, "stage1");
  assertEquals([seed, adamW.weightDecay], [2, 0]);
  for (const name of ["learning-rate", "learning_rate", "--learning-rate", "LEARNING_RATE"]) {
    assertEquals((await load(STAGE1, "stage1", { [name]: "3e-4" })).run.learningRate, 3e-4, name);
  }
  for (const name of ["view-names", "VIEW_NAMES", "view_names"]) {
    assertEquals((await load(STAGE1, "stage1", { [name]: "scene,object" })).views, ["scene", "object"], name);
  }
  for (const name of ["soft-prompt-path", "SOFT_PROMPT_PATH"]) {
    assertEquals((await load(EVAL, "eval", { [name]: "s.pt" })).softPromptPath, "s.pt", name);
  }
  assertEquals((await load(STAGE1, "stage1", { "gradient-checkpointing": true })).recompute, true);
  assertEquals((await load(STAGE1, "stage1", { bf16: "true" })).ignored, ["bf16"]);
});

Deno.test("loadSettings: an empty value counts as not given", async () => {
  const yaml = 'common: {model_name: m, learning_rate: }\nstage1: {aspect_data_path: ""}';
  assertStringIncludes(await faults(yaml, "stage1"), "aspect_data_path is missing");
  assertEquals((await load(yaml, "stage1", { aspect_data_path: "d" })).run.learningRate, 1e-5);
});

Deno.test("loadSettings: every fault at once, with key, value and expectation", async () => {
  const yaml = `
common:
  model_name: 3
  learning_rat: 1e-5
  optim: sgd
  VIEW_NAMES: [scene, scene]
stage1:
  num_train_epochs: three
  warmup_ratio: 7
stage2:
  dataname: [FI]
stage3: {}
seed: 1
`;
  const message = await faults(yaml, "stage1", { "weight-decy": "1", "max-steps": "0", "dataname": "FI" });
  for (
    const part of [
      "settings.yaml",
      "common.model_name is 3, expected a text",
      "common.learning_rat is no known setting; did you mean learning_rate?",
      'common.optim is "sgd", expected one of adamw,',
      'common.VIEW_NAMES is ["scene","scene"], expected names that differ',
      'stage1.num_train_epochs is "three", expected a whole number of at least 1',
      "stage1.warmup_ratio is 7, expected a number from 0 to 1",
      'stage2.dataname is ["FI"], expected a text',
      "stage3 is no section; did you mean stage1?",
      "seed is no section; it is a setting, which belongs below one of common,",
      "--weight-decy is no known flag; did you mean --weight-decay?",
      '--max-steps is "0", expected a whole number of at least 1, or -1',
      "--dataname has no meaning in stage1, only in stage2, eval",
      "aspect_data_path is missing; write it below stage1 or give --aspect-data-path",
      "13 faults",
    ]
  ) assertStringIncludes(message, part);
  assert(!message.includes("model_name is missing"), message);
});

Deno.test("loadSettings: a flag without a value is a fault, not a default", async () => {
  assertStringIncludes(await faults(STAGE1, "stage1", { "max-steps": "" }), "--max-steps needs a value");
});

Deno.test("loadSettings: names that every JavaScript object has are unknown ones, too", async () => {
  assertStringIncludes(await faults(STAGE1, "stage1", { constructor: "1" }), "--constructor is no known flag; --help");
  assertStringIncludes(
    await faults(`toString: 1\n${STAGE1}`, "stage1"),
    "toString is no section; sections are common, stage1, stage2, eval",
  );
  assertStringIncludes(
    await faults("stage1: {model_name: m, aspect_data_path: d, valueOf: 1}", "stage1"),
    "stage1.valueOf is no known setting",
  );
});

Deno.test("loadSettings: values out of range", async () => {
  const bad: [string, string][] = [
    ["learning_rate: 0", "learning_rate is 0, expected a number above 0"],
    ["learning_rate: .inf", "learning_rate is Infinity, expected a number above 0"],
    ["learning_rate: .nan", "learning_rate is NaN, expected a number above 0"],
    ["num_train_epochs: 1.5", "num_train_epochs is 1.5, expected a whole number of at least 1"],
    ["per_device_train_batch_size: -1", "expected a whole number of at least 1"],
    ["lr_scheduler_type: cosin", "expected one of linear, cosine, constant, constant_with_warmup"],
    ["gradient_checkpointing: maybe", 'gradient_checkpointing is "maybe", expected true or false'],
    ["VIEW_NAMES: []", "expected at least one name"],
    ["VIEW_NAMES: [3]", "expected a name"],
    ["output_path: out/aspect.xyz", 'output_path is "out/aspect.xyz", expected a file that ends in .safetensors, .pth or .pt'],
    ["gpu: cuda", "expected one of native, dawn"],
    ["weights: int2", "expected one of auto, f32, bf16, f16, int8, int4"],
    ["save_strategy: best", "expected one of no, steps, epoch"],
    ["adam_beta2: 1", "expected a number from 0 to below 1"],
    ["seed: -1", "expected a whole number of at least 0"],
    ["seed: 1e3x", 'seed is "1e3x"'],
  ];
  for (const [line, message] of bad) assertStringIncludes(await faults(STAGE1.replace("d}", `d, ${line}}`), "stage1"), message, line);
  const both = await faults(EVAL.replace("FI}", "FI, prefix_ckpt_path: a, soft_prompt_path: b}"), "eval");
  assertStringIncludes(both, "stage2.soft_prompt_path means the same as stage2.prefix_ckpt_path");
});

Deno.test("loadSettings: files that are missing, no YAML, or without the section", async () => {
  await assertRejects(() => loadSettings("no/such.yaml", { stage: "eval" }), MaspError, '"no/such.yaml": there is no such file');
  assertStringIncludes(await faults("a: [1\nb: 2", "stage1"), "no YAML");
  assertStringIncludes(await faults("common: {seed: 1, seed: 2}", "stage1"), "unique");
  assertStringIncludes(await faults("- 1", "stage1"), "the file holds [1], expected the sections");
  assertStringIncludes(await faults("", "stage1"), "section stage1 is missing; the file has none");
  assertStringIncludes(await faults(EVAL, "stage1"), "section stage1 is missing; the file has stage2");
  assertStringIncludes(await faults("common: {model_name: &a [*a]}\nstage1: {}", "stage1"), "model_name is a value that contains itself");
  assertStringIncludes(await faults("stage1: 3", "stage1"), "stage1 is 3, expected settings");
});

Deno.test("settingsYaml: loads back to the same settings", async () => {
  for (const [yaml, stage] of [[STAGE1, "stage1"], [STAGE2, "stage2"], [EVAL, "eval"]] as const) {
    const settings = await load(yaml, stage, { seed: "5", weights: "f32", output_dir: "o", feature_cache: "none" });
    assertEquals(await load(settingsYaml(settings), stage), settings);
  }
});
