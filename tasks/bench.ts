/** `deno task bench [step|load|products]`: measures this machine. Medians; ratios within one run. */
import { MaspError } from "../pipeline/errors.ts";
import { benchLoad } from "../tests/bench/load.ts";
import { benchProducts } from "../tests/bench/products.ts";
import { benchSteps } from "../tests/bench/steps.ts";
import { numberFlag, openGpu, runCommand, textFlag } from "./command.ts";

const BENCHES = { step: benchSteps, load: benchLoad, products: benchProducts };

await runCommand({
  name: "bench",
  args: "[step] [load] [products]",
  summary: "step: stage-1 and stage-2 steps and an evaluated picture. load: a checkpoint onto the GPU. products: matrix products.",
  flags: {
    model: { help: "checkpoint folder (demo/model)", value: "DIR" },
    data: { help: "data set with annotations (demo/emoset)", value: "DIR" },
    steps: { help: "steps that are measured (60)", value: "N" },
    profile: { help: "milliseconds by kernel, from time stamps" },
  },
}, async ({ args, ...invocation }) => {
  const wanted = args.length ? args : Object.keys(BENCHES);
  for (const name of wanted) {
    if (!(name in BENCHES)) throw new MaspError(`There is no bench "${name}"; there are ${Object.keys(BENCHES).join(", ")}`);
  }
  const asked = { args, ...invocation };
  await using gpu = await openGpu();
  for (const name of wanted) {
    console.log(`\n## ${name}`);
    await BENCHES[name as keyof typeof BENCHES](gpu, {
      model: textFlag(asked, "model") ?? "demo/model",
      data: textFlag(asked, "data") ?? "demo/emoset",
      steps: numberFlag(asked, "steps") ?? 60,
      profile: asked.flags.profile === true,
    });
  }
});
