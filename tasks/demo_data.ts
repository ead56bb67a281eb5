/** `deno task demo-data`: a larger data set like the demo's. */
import { loadCues } from "../pipeline/demo_data/cues.ts";
import { makeDemoData } from "../pipeline/demo_data/make_demo_data.ts";
import { loadSprites } from "../pipeline/demo_data/sprites.ts";
import { MaspError } from "../pipeline/errors.ts";
import { interruptSignal, runCommand, wholeFlag } from "./command.ts";
import { Progress } from "./progress.ts";

await runCommand({
  name: "demo-data",
  gpu: false,
  args: "DIR",
  summary: "Draws pictures by the demo's rule, with annotations, in EmoSet's layout, into a new folder.",
  flags: {
    seed: { help: "seed (2024, which drew demo/emoset)", value: "N" },
    train: { help: "training pictures of each of the eight emotions (32)", value: "N" },
    test: { help: "test pictures of each emotion (16)", value: "N" },
  },
}, async (invocation) => {
  const [dir, ...more] = invocation.args;
  if (!dir || more.length) throw new MaspError("Name one folder to make: deno task demo-data data/demo");
  const count = (name: string, otherwise: number) => wholeFlag(invocation, name, 0) ?? otherwise;
  const [seed, train, test] = [count("seed", 2024), count("train", 32), count("test", 16)];
  if (train + test === 0) throw new MaspError("--train and --test are both 0: there is nothing to draw; give one of them");
  const options = { seed, train, test, signal: interruptSignal() };
  const cues = await loadCues("demo/recipe/cues.json");
  using progress = new Progress("pictures", cues.emotions.length * (options.train + options.test));
  for await (const { done } of makeDemoData(dir, { ...options, cues, artwork: await loadSprites("demo/sprites") })) progress.update(done);
  console.log(`${options.train * cues.emotions.length} training and ${options.test * cues.emotions.length} test pictures in ${dir}`);
});
