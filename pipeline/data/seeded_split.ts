import type { Example } from "./example.ts";
import { seededRandom } from "./random.ts";

/** One seed for every run, so that a picture seen in training never turns up in a test with another seed. */
const SPLIT_SEED = 3407;
/** Share of a class that is trained on. */
const TRAIN_SHARE = 0.8;

/**
 * Divides a data set that comes without a split: of every class 80 % (rounded) for training, the rest for testing, chosen by a fixed seed.
 *
 * @returns The examples of that part, in the order given.
 */
export function seededSplit(examples: readonly Example[], split: "train" | "test"): Example[] {
  const train = new Set<Example>();
  for (const [label, members] of Map.groupBy(examples, (example) => example.label)) {
    const shuffled = seededRandom(SPLIT_SEED, `split ${label}`).shuffle(members);
    for (const example of shuffled.slice(0, Math.round(TRAIN_SHARE * members.length))) train.add(example);
  }
  return examples.filter((example) => train.has(example) === (split === "train"));
}
