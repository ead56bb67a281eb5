/** Kernels against each other, for the tuner. */
import { MaspError } from "../../pipeline/errors.ts";
import type { Plan } from "../../kernels/plan.ts";
import { median } from "./support.ts";

/** A measurement. */
export interface Timed<Kernel> {
  /** What was measured. */
  kernel: Kernel;
  /** How long it takes. */
  milliseconds: number;
}

/** What is known of the candidates. */
export interface RaceOptions<Kernel> {
  /** Times that each is measured that is among the fastest by a first measurement. */
  repeats: number;
  /** Milliseconds of a kernel. */
  measure: (kernel: Kernel, repeats: number) => Promise<number>;
  /** How far off it is on this adapter, relative to the norm of what is right; called after it was measured. */
  error: (kernel: Kernel) => Promise<number>;
}

/** What came out. */
export interface Race<Kernel> {
  /** The candidate that is taken without a measurement; without a time if it computes something else than it should. */
  first: { kernel: Kernel; milliseconds?: number };
  /** The fastest of those that are right. */
  fastest: Timed<Kernel>;
  /** Those that are wrong on this adapter, and how far off they are. */
  wrong: { kernel: Kernel; error: number }[];
}

/** Slower than the fastest by this factor in the first measurement is out of the race. */
const OUT = 1.3;
/** What kernels that sum in f16 may be off by, several times. Whatever is farther off, or no number, is a driver's fault or ours. */
const LARGEST_ERROR = 1e-2;

/**
 * Every candidate once, then those that are right and may be the fastest, and the first of all, as often as wanted.
 *
 * @throws {MaspError} when none is right
 */
export async function race<Kernel>(candidates: readonly Kernel[], { repeats, measure, error }: RaceOptions<Kernel>): Promise<Race<Kernel>> {
  const once: Timed<Kernel>[] = [];
  const wrong: Race<Kernel>["wrong"] = [];
  for (const kernel of candidates) {
    const milliseconds = await measure(kernel, 1);
    const off = await error(kernel);
    if (off <= LARGEST_ERROR) once.push({ kernel, milliseconds });
    else wrong.push({ kernel, error: off });
  }
  if (once.length === 0) throw new MaspError("No kernel computes this right on this adapter; a newer driver may");
  const least = (times: Timed<Kernel>[]) => times.reduce((a, b) => b.milliseconds < a.milliseconds ? b : a);
  const bound = OUT * least(once).milliseconds;
  const times: Timed<Kernel>[] = [];
  for (const { kernel, milliseconds } of once) {
    if (kernel === candidates[0] || milliseconds <= bound) times.push({ kernel, milliseconds: await measure(kernel, repeats) });
  }
  const first = times[0].kernel === candidates[0] ? times[0] : { kernel: candidates[0] };
  return { first, fastest: least(times), wrong };
}

/** A line of the tuner's table, and one for each candidate that is wrong. */
export function printRace<Kernel>(
  what: string,
  { first, fastest, wrong }: Race<Kernel>,
  { name, flops }: { name: (kernel: Kernel) => string; flops: number },
): void {
  const rate = flops / fastest.milliseconds / 1e9;
  const gain = first.milliseconds === undefined ? "was wrong" : (first.milliseconds / fastest.milliseconds).toFixed(2);
  console.log(`| ${what} | ${name(first.kernel)} | ${name(fastest.kernel)} | ${Number(rate.toPrecision(3))} | ${gain} |`);
  for (const { kernel, error } of wrong) {
    console.log(`| ${what} | ${name(kernel)} | is wrong on this adapter, by ${error.toPrecision(2)}, and not taken | | |`);
  }
}

/** Milliseconds of a plan by time stamps, in a run after the first; the median. */
export async function timeOfPlan(plan: Plan, repeats: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i <= repeats; i++) {
    const entries = await plan.profile();
    if (i > 0) times.push(entries.reduce((sum, { milliseconds }) => sum + milliseconds, 0));
  }
  return median(times);
}
