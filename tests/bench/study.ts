/**
 * What the demo's settings reach over several seeds: the base model, MASP, and the soft prompt without aspect tokens (the ablation), on test
 * pictures that no setting was chosen by.
 */
import { join } from "@std/path";
import { loadSettings } from "../../config/schema.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { writeFileAtomic } from "../../pipeline/checkpoint/atomic_write.ts";
import type { Prediction } from "../../pipeline/evaluate.ts";
import { runEvaluation, runStage1, runStage2 } from "../../pipeline/runs.ts";

/** Options of {@linkcode benchStudy}. */
export interface BenchStudyOptions {
  /** Settings file with all stages. */
  config: string;
  /** Test data. */
  data: string;
  /** Seeds. */
  seeds: readonly number[];
  /** Folder of the runs and of `study.json`. */
  out: string;
}

/** `study.json` */
export interface Study {
  /** Settings file. */
  config: string;
  /** Test data. */
  data: string;
  /** Test pictures. */
  pictures: number;
  /** Adapter. */
  adapter: string;
  /** Shares of right answers, a number for every seed. */
  accuracy: { seeds: number[]; base: number[]; masp: number[]; plain: number[] };
  /** Differences over all seeds and pictures, with their 95 % intervals, from the spread over the pictures. */
  difference: { maspToBase: Difference; maspToPlain: Difference; plainToBase: Difference };
}

/** A difference of two shares. */
export interface Difference {
  /** Mean. */
  value: number;
  /** 95 % interval. */
  interval: [number, number];
}

/** Trains and evaluates with every seed; prints a table and writes `study.json`. */
export async function benchStudy(gpu: Gpu, { config, data, seeds, out }: BenchStudyOptions): Promise<void> {
  const answers: Record<"base" | "masp" | "plain", Prediction[][]> = { base: [], masp: [], plain: [] };
  const onNotice = (text: string) => console.log(text);
  for (const seed of seeds) {
    const dir = join(out, `seed${seed}`);
    const settingsOf = async <S extends "stage1" | "stage2" | "eval">(stage: S, overrides: Record<string, string>) =>
      await loadSettings(config, { stage, overrides: { seed: `${seed}`, ...overrides } });
    const aspects = join(dir, "stage1", "aspect.safetensors");
    await runStage1(gpu, await settingsOf("stage1", { output_dir: join(dir, "stage1") }), { onNotice });
    for (const plain of [false, true]) {
      const kind = plain ? "plain" : "masp";
      const stage2 = join(dir, `stage2-${kind}`);
      await runStage2(gpu, await settingsOf("stage2", { output_dir: stage2, ckpt_path: aspects }), { onNotice, plain });
      const overrides = {
        test_data_path: data,
        output_dir: join(dir, kind),
        ckpt_path: aspects,
        soft_prompt_path: join(stage2, "soft_prompt.safetensors"),
      };
      const { predictions } = await runEvaluation(gpu, await settingsOf("eval", overrides), { onNotice, plain });
      answers[kind].push(predictions);
    }
    const overrides = { test_data_path: data, output_dir: join(dir, "base") };
    answers.base.push((await runEvaluation(gpu, await settingsOf("eval", overrides), { onNotice, baseline: true })).predictions);
    console.log(`seed ${seed}: ${Object.entries(answers).map(([kind, runs]) => `${kind} ${percent(accuracy(runs.at(-1)!))}`).join(", ")}`);
  }
  const { base, masp, plain } = answers;
  const study: Study = {
    config,
    data,
    pictures: base[0].length,
    adapter: gpu.name,
    accuracy: { seeds: [...seeds], base: base.map(accuracy), masp: masp.map(accuracy), plain: plain.map(accuracy) },
    difference: { maspToBase: difference(masp, base), maspToPlain: difference(masp, plain), plainToBase: difference(plain, base) },
  };
  await writeFileAtomic(join(out, "study.json"), `${JSON.stringify(study, null, 2)}\n`);
  console.log(`\n${studyTable(study)}\n\nWritten: ${join(out, "study.json")}`);
}

/** The study as a Markdown table. */
export function studyTable({ accuracy, difference, pictures, adapter }: Study): string {
  const row = (what: string, values: number[]) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(values.length - 1, 1));
    return `| ${what} | ${percent(mean)} ± ${(100 * spread).toFixed(1)} | ${values.map(percent).join(", ")} |`;
  };
  const gap = (what: string, { value, interval }: Difference) =>
    `| ${what} | ${signed(value)} points | ${signed(interval[0])} to ${signed(interval[1])} |`;
  return [
    `| ${pictures} test pictures, ${adapter} | mean ± standard deviation | seeds ${accuracy.seeds.join(", ")} |`,
    "|---|---|---|",
    row("base model (zero-shot)", accuracy.base),
    row("soft prompt without aspect tokens", accuracy.plain),
    row("MASP", accuracy.masp),
    gap("MASP less base model (95 % interval)", difference.maspToBase),
    gap("MASP less soft prompt alone (95 % interval)", difference.maspToPlain),
  ].join("\n");
}

/** What the study says, in a sentence or two: a difference whose interval holds 0 may be chance. */
export function studyVerdict({ difference: { maspToBase, maspToPlain } }: Study): string {
  const verdict = ({ interval: [low, high] }: Difference) =>
    low > 0 ? "better than" : high < 0 ? "worse than" : "as good, as far as this can tell, as";
  return `MASP is ${verdict(maspToBase)} the base model, and ${verdict(maspToPlain)} the soft prompt without aspect tokens.`;
}

function accuracy(predictions: readonly Prediction[]): number {
  return predictions.filter(({ correct }) => correct).length / predictions.length;
}

/** Mean difference of two methods over seeds and pictures; its interval from the spread over the pictures. */
function difference(a: readonly Prediction[][], b: readonly Prediction[][]): Difference {
  const byPicture = a[0].map((_, picture) => {
    const sum = a.reduce((total, run, seed) => total + Number(run[picture].correct) - Number(b[seed][picture].correct), 0);
    return sum / a.length;
  });
  const value = byPicture.reduce((sum, d) => sum + d, 0) / byPicture.length;
  const variance = byPicture.reduce((sum, d) => sum + (d - value) ** 2, 0) / (byPicture.length - 1);
  const margin = 1.96 * Math.sqrt(variance / byPicture.length);
  return { value, interval: [value - margin, value + margin] };
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const signed = (share: number) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)}`;
