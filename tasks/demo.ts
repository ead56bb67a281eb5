/** `deno task demo`: the whole of MASP on the embedded model and pictures, beside what the PyTorch reference reaches there. */
import { join } from "@std/path";
import { loadSettings } from "../config/schema.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { loadAspects } from "../pipeline/aspect_attend.ts";
import { aspectAccuracy } from "../pipeline/aspects/aspect_accuracy.ts";
import { writeFileAtomic } from "../pipeline/checkpoint/atomic_write.ts";
import { loadAspectSamples } from "../pipeline/data/aspect_samples.ts";
import { loadExamples } from "../pipeline/data/examples.ts";
import { loadPrompts } from "../pipeline/data/prompts.ts";
import { FeatureStore } from "../pipeline/encode.ts";
import { loadQwen2Vl } from "../pipeline/load.ts";
import { writeReport } from "../pipeline/report/html_report.ts";
import { readJson } from "../pipeline/read_json.ts";
import { runEvaluation, runStage1, runStage2 } from "../pipeline/runs.ts";
import { type Study, studyTable, studyVerdict } from "../tests/bench/study.ts";
import { gpuFlags, interruptedStatus, openGpu, runCommand, textFlag } from "./command.ts";
import { duration } from "./progress.ts";
import { terminalHooks } from "./run_hooks.ts";

/** `demo/reference_results.json` */
interface ReferenceResults {
  zero_shot: number;
  masp: number;
  aspects: Record<string, number>;
}

const FOLDER = "outputs/demo";

await runCommand({
  name: "demo",
  summary:
    "Zero-shot evaluation, stage 1, stage 2, evaluation and report on the embedded model and pictures, in minutes. Results go to outputs/demo.",
  flags: { config: { help: "settings file (config/demo.yaml)", value: "FILE" } },
}, async (invocation) => {
  const begin = performance.now();
  const config = textFlag(invocation, "config") ?? "config/demo.yaml";
  const settings = {
    stage1: await loadSettings(config, { stage: "stage1" }),
    stage2: await loadSettings(config, { stage: "stage2" }),
    eval: await loadSettings(config, { stage: "eval" }),
  };
  await using gpu = await openGpu(gpuFlags(invocation));
  const step = async <T>(title: string, run: (hooks: ReturnType<typeof terminalHooks>) => Promise<T>): Promise<T> => {
    console.log(`\n${title}`);
    const start = performance.now();
    using hooks = terminalHooks(title, gpu);
    const result = await run(hooks);
    if (hooks.signal?.aborted) Deno.exit(interruptedStatus());
    console.log(`${title}: ${duration((performance.now() - start) / 1000)}`);
    return result;
  };
  const zeroShot = await step("zero-shot", (hooks) => runEvaluation(gpu, settings.eval, { ...hooks, baseline: true, scores: true }));
  await step("stage 1", (hooks) => runStage1(gpu, settings.stage1, hooks));
  const aspects = await step("aspect answers", () => answersOfAspects(gpu, settings));
  await step("stage 2", (hooks) => runStage2(gpu, settings.stage2, hooks));
  const masp = await step("MASP", (hooks) => runEvaluation(gpu, settings.eval, { ...hooks, details: true }));
  const report = await step("report", () => writeReport([FOLDER]));
  const reference = await readJson("demo/reference_results.json") as unknown as ReferenceResults;
  const rows = [
    ["emotion, base model (zero-shot)", zeroShot.metrics.accuracy.value, reference.zero_shot],
    ["emotion, MASP", masp.metrics.accuracy.value, reference.masp],
    ...Object.entries(aspects).map(([view, { correct, total }]) => [`aspect ${view}`, correct / total, reference.aspects[view]] as const),
  ] as const;
  const table = rows.map(([what, here, there]) => `| ${what} | ${percent(here)} | ${there === undefined ? "" : percent(there)} |`);
  const [low, high] = masp.metrics.accuracy.interval;
  const minutes = duration((performance.now() - begin) / 1000);
  const study = await readJson("demo/study.json") as unknown as Study;
  const [example] = masp.predictions;
  const words = Object.entries(example.aspects ?? {}).map(([view, answer]) =>
    `| ${view} | ${answer.trim()} | ${example.aspectLabels?.[view] ?? ""} |`
  );
  const summary = [
    "| exact match on the 128 test pictures | here | PyTorch reference |",
    "|---|---|---|",
    ...table,
    "",
    `MASP's accuracy is certain to ${percent(low)} to ${percent(high)} (95 %). ${minutes} minutes on ${gpu.name}.`,
    "",
    `| ${example.image}: ${example.text.trim()} | in words | annotation |`,
    "|---|---|---|",
    ...words,
    "",
    `More seeds and pictures that no setting was chosen by (measured before, with deno task bench study --test ${study.data}):`,
    "",
    studyTable(study),
    "",
    studyVerdict(study),
  ].join("\n");
  await writeFileAtomic(join(FOLDER, "summary.md"), `${summary}\n`);
  console.log(`\n${summary}\n\nReport: ${report.path}`);
});

async function answersOfAspects(
  gpu: Gpu,
  settings: { stage1: Awaited<ReturnType<typeof loadSettings<"stage1">>> },
): Promise<Awaited<ReturnType<typeof aspectAccuracy>>> {
  const { modelName, weights, outputPath, views, promptsPath, seed, dataPath } = settings.stage1;
  using model = await loadQwen2Vl(gpu, modelName, { weights });
  using aspects = await loadAspects(model, outputPath, { views });
  await using store = new FeatureStore(model);
  const test = await loadExamples(dataPath, { split: "test" });
  const samples = await loadAspectSamples(test, { views, prompts: await loadPrompts(promptsPath), seed });
  return await aspectAccuracy(model, { aspects, samples, store });
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
