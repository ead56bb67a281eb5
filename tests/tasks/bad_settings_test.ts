/** Flags and settings that are wrong: one message that names the nearest right one. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { runTask, workplace } from "./support.ts";

Deno.test("bad settings: an unknown flag, a misspelt setting, values of a wrong type", async () => {
  await using place = await workplace();
  const flags: [task: string, args: string[], says: RegExp[]][] = [
    ["golden", ["--nonsense"], [/^deno task golden has no flag --nonsense\. Its flags:/, /--weights/]],
    ["report", ["--outt", "x.html"], [/has no flag --outt/, /--out FILE/]],
    ["stage1", ["--lerning-rate", "1e-4"], [/--lerning-rate is no known flag; did you mean --learning-rate\?/]],
    ["stage2", ["--resumee"], [/--resumee is no known flag/]],
    ["eval", ["--baselin"], [/--baselin is no known flag; did you mean --baseline\?/]],
    ["eval", ["--learning-rate", "1e-4"], [/--learning-rate has no meaning in eval, only in stage1, stage2/]],
    ["eval", ["--seed", "abc"], [/--seed is "abc", expected a whole number of at least 0/]],
    ["stage2", ["--optim", "sgd"], [/--optim is "sgd", expected one of adamw, /]],
    ["eval", ["--gpu", "cuda"], [/--gpu is "cuda"; expected native or dawn|--gpu is "cuda", expected one of native, dawn/]],
    ["serve", ["--port", "99999"], [/--port is 99999; expected a whole number up to 65535/]],
    ["serve", ["--port", "http"], [/--port is "http"; expected a number/]],
    ["stage1", ["--output-path", "aspect.bin"], [/--output-path is "aspect.bin", expected a file that ends in .safetensors, .pth or .pt/]],
    ["stage1", ["--output_dir", "x", "stray"], [/^deno task stage1 takes flags only, but "stray" stands alone/]],
    ["stage1", ["--gradient_checkpointing", "False"], [/"False" stands alone\. Switches take no value: --name is on, --no-name is off/]],
    ["stage2", ["-r"], [/^deno task stage2 has no flag -r; flags are whole words/, /--resume/]],
    ["predict", ["--config"], [/--config needs a value|no picture|Which picture\?/]],
  ];
  for (const [task, args, says] of flags) await place.fails(task, args, { says });
});

Deno.test("bad settings: every fault of a file in one message", async () => {
  await using place = await workplace();
  const text = await Deno.readTextFile(place.config);
  const misspelt = await place.write("misspelt.yaml", text.replace("num_train_epochs: 1", "num_train_epoch: 1\n  learning_rate: fast"));
  await place.fails("stage1", [], {
    config: misspelt,
    says: [
      /misspelt\.yaml" have 2 faults/,
      /stage1\.num_train_epoch is no known setting; did you mean num_train_epochs\?/,
      /stage1\.learning_rate is "fast", expected a number above 0/,
    ],
  });
  const noYaml = await place.write("no.yaml", "eval: [");
  await place.fails("eval", [], { config: noYaml, says: [/no\.yaml/, /YAML/] });
  await place.fails("eval", [], { config: place.file("none.yaml"), says: [/none\.yaml": there is no such file|none\.yaml/] });
  const incomplete = await place.write("incomplete.yaml", "eval:\n  dataname: EmoSet\n");
  await place.fails("eval", [], {
    config: incomplete,
    says: [/model_name is missing; write it below eval or give --model-name/, /test_data_path is missing/],
  });
});

Deno.test("bad settings: help is no fault", async () => {
  const { code, stdout, stderr } = await runTask("eval", ["--help"]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^deno task eval/);
  assert(stdout.includes("--baseline"));
  assertEquals(await runTask("eval", ["-h"]), { code, stdout, stderr });
});
