/**
 * Kernels against each other, for the tuner: all of them in one plan, so that they are measured at the same clock rates. An H200 slows
 * down to a third or less within milliseconds in which nothing is asked of it.
 */
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import type { Tensor } from "../../kernels/tensor.ts";
import { MaspError } from "../../pipeline/errors.ts";
import { relativeError } from "../../pipeline/golden/comparison.ts";
import { median } from "./support.ts";

/** Candidates and what they compute. */
export interface Contest<Kernel> {
  /** Kernels, the one that is taken without a measurement first. */
  candidates: readonly Kernel[];
  /** One that is right, whatever the adapter. */
  trusted: Kernel;
  /**
   * Records the work once.
   *
   * @param turn 0, 1, …: which data are taken where there are several; those of turn 0 are the same for every kernel
   * @returns what is compared: the results, or some of their rows
   */
  record(plan: Plan, kernel: Kernel, turn: number): Tensor[];
  /** Floating-point operations of the work. */
  flops: number;
  /** Times that everything is run. */
  repeats: number;
}

/** A measurement. */
export interface Timed<Kernel> {
  /** What was measured. */
  kernel: Kernel;
  /** How long it takes; the median of the runs. */
  milliseconds: number;
  /** How far off its results are, relative to the norm of what is right. */
  error: number;
}

/** What came out. */
export interface Race<Kernel> {
  /** Every candidate, in their order. */
  all: Timed<Kernel>[];
  /** The fastest of those that are right. */
  fastest: Timed<Kernel>;
}

/** What kernels that sum in f16 may be off by, several times. Whatever is farther off, or no number, is a driver's fault or ours. */
const LARGEST_ERROR = 1e-2;
/** Operations of a candidate in a run, as far as that takes few turns, and before all of them, so that the clocks are up. */
const MEASURED = { flops: 2e10, turns: 8 };
const BEFORE = { flops: 5e11, turns: 300 };

/** Whether a candidate computes what it should. */
export function isRight({ error }: { error: number }): boolean {
  return error <= LARGEST_ERROR;
}

/**
 * Runs all candidates one after the other, several times.
 *
 * @throws {MaspError} when none is right on this adapter
 */
export async function race<Kernel>(gpu: Gpu, contest: Contest<Kernel>): Promise<Race<Kernel>> {
  const { candidates, trusted, record, flops, repeats } = contest;
  const turnsOf = (most: { flops: number; turns: number }) =>
    gpu.software ? 1 : Math.max(1, Math.min(most.turns, Math.ceil(most.flops / flops)));
  const turns = turnsOf(MEASURED);
  using plan = new Plan(gpu, "race");
  const taken = (kernel: Kernel, count: number) => {
    let results: Tensor[] = [];
    for (let turn = count - 1; turn >= 0; turn--) results = record(plan, kernel, turn);
    return results;
  };
  const kept = (results: Tensor[]) =>
    results.map((result) => {
      const copy = plan.persistent(result.shape);
      plan.copy(result, copy);
      return copy;
    });
  const expected = kept(taken(trusted, 1));
  taken(candidates[0], turnsOf(BEFORE));
  const entrants = candidates.map((kernel) => {
    const begin = plan.dispatches;
    const results = taken(kernel, turns);
    return { kernel, begin, end: plan.dispatches, found: kept(results) };
  });
  await plan.profile(); // compiles the kernels
  const runs: number[][] = [];
  for (let i = 0; i < repeats; i++) runs.push((await plan.profile()).map(({ milliseconds }) => milliseconds));
  const read = async (tensors: Tensor[]) => (await gpu.read(...tensors)).map((bytes) => new Float32Array(bytes.buffer));
  const right = await read(expected);
  const all: Timed<Kernel>[] = [];
  for (const { kernel, begin, end, found } of entrants) {
    const times = runs.map((run) => run.slice(begin, end).reduce((sum, ms) => sum + ms, 0) / turns);
    const error = Math.max(...(await read(found)).map((values, i) => relativeError(values, right[i])));
    all.push({ kernel, milliseconds: median(times), error });
  }
  const finished = all.filter(isRight);
  if (finished.length === 0) throw new MaspError("No kernel computes this right on this adapter; a newer driver may");
  return { all, fastest: finished.reduce((a, b) => b.milliseconds < a.milliseconds ? b : a) };
}

/** A line of the tuner's table, and one for each candidate that is wrong. */
export function printRace<Kernel>(
  what: string,
  { all, fastest }: Race<Kernel>,
  { name, flops }: { name: (kernel: Kernel) => string; flops: number },
): void {
  const [first] = all;
  const rate = flops / fastest.milliseconds / 1e9;
  const gain = isRight(first) ? (first.milliseconds / fastest.milliseconds).toFixed(2) : "was wrong";
  console.log(`| ${what} | ${name(first.kernel)} | ${name(fastest.kernel)} | ${Number(rate.toPrecision(3))} | ${gain} |`);
  for (const { kernel, error } of all.filter((timed) => !isRight(timed))) {
    console.log(`| ${what} | ${name(kernel)} | is wrong on this adapter, by ${error.toPrecision(2)}, and not taken | | |`);
  }
}
