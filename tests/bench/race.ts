/** Kernels against each other, for the tuner. */
import type { Plan } from "../../kernels/plan.ts";
import { median } from "./support.ts";

/** A measurement. */
export interface Timed<Kernel> {
  /** What was measured. */
  kernel: Kernel;
  /** How long it takes. */
  milliseconds: number;
}

/** What came out. */
export interface Race<Kernel> {
  /** The candidate that is taken without a measurement. */
  first: Timed<Kernel>;
  /** The fastest of all. */
  fastest: Timed<Kernel>;
}

/** Slower than the fastest by this factor in the first measurement is out of the race. */
const OUT = 1.3;

/** Every candidate once, then those that may be the fastest, and the first of all, as often as wanted. */
export async function race<Kernel>(
  candidates: readonly Kernel[],
  options: { repeats: number; measure: (kernel: Kernel, repeats: number) => Promise<number> },
): Promise<Race<Kernel>> {
  const { repeats, measure } = options;
  const time = async (kernels: readonly Kernel[], repeats: number) => {
    const times: Timed<Kernel>[] = [];
    for (const kernel of kernels) times.push({ kernel, milliseconds: await measure(kernel, repeats) });
    return times;
  };
  const least = (times: Timed<Kernel>[]) => times.reduce((a, b) => b.milliseconds < a.milliseconds ? b : a);
  const once = candidates.length > 1 ? await time(candidates, 1) : [];
  const bound = once.length ? OUT * least(once).milliseconds : Infinity;
  const left = candidates.filter((_, i) => i === 0 || once[i].milliseconds <= bound);
  const times = await time(left, repeats);
  return { first: times[0], fastest: least(times) };
}

/** A line of the tuner's table. */
export function printRace<Kernel>(
  what: string,
  { first, fastest }: Race<Kernel>,
  { name, flops }: { name: (kernel: Kernel) => string; flops: number },
): void {
  const rate = flops / fastest.milliseconds / 1e9;
  const gain = first.milliseconds / fastest.milliseconds;
  console.log(`| ${what} | ${name(first.kernel)} | ${name(fastest.kernel)} | ${Number(rate.toPrecision(3))} | ${gain.toFixed(2)} |`);
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
