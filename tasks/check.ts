/** `deno task check`: is everything there, and what will a run need? */
import { exists } from "@std/fs";
import { findModelFolder } from "../config/find_model_folder.ts";
import { loadSettings } from "../config/schema.ts";
import { openModelFolder } from "../pipeline/checkpoint/model_folder.ts";
import { loadExamples } from "../pipeline/data/examples.ts";
import { MaspError } from "../pipeline/errors.ts";
import { bytesText as mib, checkMemory } from "../pipeline/memory_advice.ts";
import { parseConfig } from "../pipeline/qwen2_vl/config.ts";
import { expectedTensors } from "../pipeline/qwen2_vl/weights.ts";
import { gpuFlags, openGpu, runCommand, textFlag } from "./command.ts";
import { printNotices } from "./run_hooks.ts";

await runCommand({
  name: "check",
  summary: "Looks at the GPU, the checkpoint folder and the data sets that the settings name, and says what a run needs. Loads nothing.",
  flags: {
    config: { help: "settings file of the training (config/train.yaml)", value: "FILE" },
    "eval-config": {
      help: "settings file of the evaluation (that of --config if it has a section eval, else config/eval.yaml)",
      value: "FILE",
    },
  },
  settings: "stage1",
}, async (invocation) => {
  let faults = 0;
  const look = async (what: string, find: () => Promise<string>) => {
    try {
      console.log(`ok      ${what}: ${await find()}`);
    } catch (error) {
      if (!(error instanceof MaspError)) throw error;
      faults++;
      console.log(`missing ${what}: ${error.message}`);
    }
  };
  await using gpu = await openGpu(gpuFlags(invocation));
  const { overrides } = invocation;
  const yes = (is: boolean) => is ? "yes" : "no";
  const half = yes(gpu.has("shader-f16"));
  const matrices = gpu.subgroupMatrices.map(({ rows, columns, depth }) => `${rows}×${columns}×${depth}`).join(", ") || "no";
  console.log(
    `ok      GPU: bindings up to ${mib(gpu.maxBindingBytes)}, 16-bit floats ${half}, subgroup matrices ${matrices}, software ${
      yes(gpu.software)
    }`,
  );
  const train = textFlag(invocation, "config") ?? "config/train.yaml";
  const own = textFlag(invocation, "config") && await loadSettings(train, { stage: "eval", overrides }).then(() => train, () => undefined);
  const evaluation = textFlag(invocation, "eval-config") ?? own ?? "config/eval.yaml";
  for (const [stage, path, split] of [["stage1", train, "train"], ["stage2", train, "train"], ["eval", evaluation, "test"]] as const) {
    await look(`${stage} settings`, async () => {
      const settings = await loadSettings(path, { stage, overrides });
      printNotices(settings);
      if (stage === "stage1") {
        await look("checkpoint", () => findModelFolder(settings.modelName).then(describeModel));
      }
      const dir = await findModelFolder(settings.modelName).catch(() => undefined); // its absence was told
      if (dir) await look(`${stage} memory`, () => checkMemory(gpu, settings, { dir }));
      await look(`${stage} pictures`, async () => {
        const dataname = settings.stage === "stage1" ? undefined : settings.dataname;
        const examples = await loadExamples(settings.dataPath, { split, dataname, limit: settings.maxSamples });
        return `${examples.length} in ${settings.dataPath}`;
      });
      if (!await exists(settings.promptsPath)) throw new MaspError(`questions "${settings.promptsPath}" are missing`);
      return path;
    });
  }
  if (faults) {
    throw new MaspError(`${faults} thing(s) missing. Name other folders by settings (deno task check --model-name DIR …) or in ${train}.`);
  }
});

async function describeModel(dir: string): Promise<string> {
  using folder = await openModelFolder(dir);
  const config = parseConfig(folder.config, { name: dir });
  const unused = folder.checkTensors(expectedTensors(config));
  return `${dir}, ${config.text.layers} layers of ${config.text.hidden}${unused.length ? `; not used: ${unused.join(", ")}` : ""}`;
}
