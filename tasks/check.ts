/** `deno task check`: is everything there, and what will a run need? */
import { exists } from "@std/fs";
import { findModelFolder } from "../config/find_model_folder.ts";
import { type LaterSettings, loadSettings, SettingsError } from "../config/schema.ts";
import { readSettingsFile } from "../config/schema_file.ts";
import { overridesFor } from "../config/schema_flags.ts";
import { openModelFolder } from "../pipeline/checkpoint/model_folder.ts";
import { loadExamples } from "../pipeline/data/examples.ts";
import { MaspError } from "../pipeline/errors.ts";
import { bytesText as mib, checkMemory } from "../pipeline/memory_advice.ts";
import { parseConfig } from "../pipeline/qwen2_vl/config.ts";
import { expectedTensors } from "../pipeline/qwen2_vl/weights.ts";
import { tuningText } from "../pipeline/tuning.ts";
import { gpuFlags, openGpu, runCommand, textFlag } from "./command.ts";
import { messageOf } from "./error_message.ts";
import { printNotices, printOnce } from "./run_hooks.ts";

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
  settings: ["stage1", "stage2", "eval"],
}, async (invocation) => {
  const told = new Set<string>(); // what several stages share is one fault
  const look = async (what: string, find: () => Promise<string>) => {
    try {
      console.log(`ok      ${what}: ${await find()}`);
    } catch (error) {
      const message = messageOf(error);
      if (message === undefined) throw error;
      const faults = error instanceof SettingsError ? error.faults : [message];
      const fresh = faults.filter((fault) => !told.has(fault));
      for (const fault of fresh) told.add(fault);
      console.log(
        `${error instanceof SettingsError ? "wrong  " : "missing"} ${what}: ${
          fresh.length === 0 ? "as above" : fresh.length === faults.length ? message : fresh.join("; ")
        }`,
      );
    }
  };
  await using gpu = await openGpu(gpuFlags(invocation));
  const { overrides } = invocation;
  const noticed = new Set<string>();
  const yes = (is: boolean) => is ? "yes" : "no";
  const half = yes(gpu.has("shader-f16"));
  const matrices = gpu.subgroupMatrices.map(({ rows, columns, depth }) => `${rows}×${columns}×${depth}`).join(", ") || "no";
  console.log(
    `ok      GPU: bindings up to ${mib(gpu.maxBindingBytes)}, 16-bit floats ${half}, subgroup matrices ${matrices}, software ${
      yes(gpu.software)
    }`,
  );
  const kernels = tuningText(gpu);
  if (kernels) console.log(`ok      kernels: ${kernels}`);
  const train = textFlag(invocation, "config") ?? "config/train.yaml";
  const own = textFlag(invocation, "config") && await evaluates(train) ? train : undefined;
  const evaluation = textFlag(invocation, "eval-config") ?? own ?? "config/eval.yaml";
  for (const [stage, path, split] of [["stage1", train, "train"], ["stage2", train, "train"], ["eval", evaluation, "test"]] as const) {
    await look(`${stage} settings`, async () => {
      const settings = await loadSettings(path, { stage, overrides: overridesFor(overrides, stage) });
      printNotices(settings, noticed);
      if (stage === "stage1") {
        await look("checkpoint", () => findModelFolder(settings.modelName).then(describeModel));
      }
      const dir = await findModelFolder(settings.modelName).catch(() => undefined); // its absence was told
      if (dir) await look(`${stage} memory`, () => checkMemory(gpu, settings, { dir }));
      await look(`${stage} pictures`, async () => {
        const { dataname, categories } = settings.stage === "stage1" ? {} as Partial<LaterSettings> : settings;
        const onNotice = (text: string) => printOnce(text, noticed);
        const examples = await loadExamples(settings.dataPath, { split, dataname, categories, limit: settings.maxSamples, onNotice });
        return `${examples.length} in ${settings.dataPath}`;
      });
      if (!await exists(settings.promptsPath)) throw new MaspError(`questions "${settings.promptsPath}" are missing`);
      return path;
    });
  }
  if (told.size) {
    throw new MaspError(
      `${told.size} thing(s) missing or wrong. Name other folders by settings (deno task check --model-name DIR …) or in ${train}.`,
    );
  }
});

/** Whether a settings file is for evaluations, too. Its faults are told when it is loaded. */
async function evaluates(path: string): Promise<boolean> {
  const sections = await readSettingsFile(path).then((file) => file.sections, () => undefined);
  return sections?.eval !== undefined || sections?.stage2?.values.test_data_path !== undefined;
}

async function describeModel(dir: string): Promise<string> {
  using folder = await openModelFolder(dir);
  const config = parseConfig(folder.config, { name: dir });
  const unused = folder.checkTensors(expectedTensors(config));
  return `${dir}, ${config.text.layers} layers of ${config.text.hidden}${unused.length ? `; not used: ${unused.join(", ")}` : ""}`;
}
