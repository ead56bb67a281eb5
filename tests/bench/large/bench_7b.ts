/** The whole table of a large checkpoint in one run, without network: times, GPU memory, loading, agreement with PyTorch. */
import { type Gpu, requestGpu } from "../../../kernels/gpu.ts";
import { writeFileAtomic } from "../../../pipeline/checkpoint/atomic_write.ts";
import { openModelFolder } from "../../../pipeline/checkpoint/model_folder.ts";
import { openSafetensors } from "../../../pipeline/checkpoint/safetensors.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { readJson } from "../../../pipeline/read_json.ts";
import { type Agreement, compareValues } from "./compare_values.ts";
import { type Loading, type Measurement, type PhaseOptions, PHASES, usualPhases, withModel } from "./phases.ts";
import { agreementTable, loadingLine, measurementTable } from "./tables.ts";

/** Options of {@linkcode bench7b}. */
export interface Bench7bOptions extends PhaseOptions {
  /** Times of `pytorch_reference.py --out`. */
  reference?: string;
  /** Inputs and results of `pytorch_reference.py --values`. */
  values?: string;
  /** Which phases; those of `usualPhases` when left out. */
  phases?: readonly string[];
  /** Where the results go as JSON. */
  out?: string;
}

/** What `pytorch_reference.py` writes. */
export interface ReferenceTimes {
  /** The GPU's name, or "CPU". */
  machine: string;
  /** By `mode/WIDTHxHEIGHT/what`. */
  results: Record<string, { ms: number; gpu_gib?: number | null }>;
}

/** Everything that was found out. */
export interface Bench7bReport {
  /** The adapter. */
  adapter: string;
  /** Checkpoint folder and number type of the weights. */
  checkpoint: string;
  weights: string;
  /** Pictures, repeats and so on. */
  settings: Record<string, unknown>;
  /** Times and memory, phase by phase. */
  measurements: Measurement[];
  /** One per device that loaded the checkpoint. */
  loadings: Loading[];
  /** Comparison with PyTorch's values. */
  agreement?: Agreement[];
  /** Phases that failed, with the reason. */
  failures: Record<string, string>;
}

/** Runs the phases, prints the tables as they come and writes the report. A phase that fails does not keep the others from running. */
export async function bench7b(options: Bench7bOptions): Promise<Bench7bReport> {
  const { reference, values, out, checkpoint, weights = "auto", phases = usualPhases(weights) } = options;
  const chosen = phases.map((name) => {
    const phase = PHASES.get(name);
    if (!phase) throw new MaspError(`There is no phase "${name}"; there are ${[...PHASES.keys()].join(", ")}`);
    return { name, ...phase };
  });
  (await openModelFolder(checkpoint))[Symbol.dispose](); // what is missing is told once, and at once
  if (values) (await openSafetensors(values))[Symbol.dispose]();
  const times = reference ? await readJson(reference) as unknown as ReferenceTimes : undefined;
  const { name: adapter, software } = await adapterFacts(options.open);
  const settings = { ...options, checkpoint: undefined, out: undefined, open: undefined };
  const report: Bench7bReport = { adapter, checkpoint, weights, settings, measurements: [], loadings: [], failures: {} };
  console.log(`\n# ${checkpoint} on ${adapter}\n`);
  const attempt = async (name: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      report.failures[name] = (error as Error).message;
      console.log(`${name} failed: ${(error as Error).stack ?? error}`);
    }
    if (out) await writeFileAtomic(out, JSON.stringify(report, null, 2));
  };
  for (const phase of chosen) {
    await attempt(phase.name, async () => {
      const { result, loading } = await withModel({ ...options, weights: phase.weights ?? weights }, (model) => phase.run(model, options));
      report.measurements.push(...result);
      if (!phase.weights) report.loadings.push(loading);
      for (const { name, ms } of result) console.log(`${name}: ${ms?.toFixed(1)} ms`);
    });
  }
  if (values) {
    await attempt("values", async () => {
      const { result, loading } = await withModel(options, (model) => compareValues(model, values));
      report.agreement = result;
      report.loadings.push(loading);
    });
  }
  console.log(`\n${measurementTable(report.measurements, times)}`);
  if (report.loadings.length) console.log(`${loadingLine(report.loadings, { software })}\n`);
  if (report.agreement) console.log(agreementTable(report.agreement));
  if (out) console.log(`Written: ${out}`);
  return report;
}

/** The adapter's name and kind; the device is given back. */
async function adapterFacts(open: () => Promise<Gpu> = requestGpu): Promise<{ name: string; software: boolean }> {
  await using gpu = await open();
  return { name: gpu.name, software: gpu.software };
}
