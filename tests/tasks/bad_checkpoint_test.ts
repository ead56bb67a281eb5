/** Checkpoint folders that are missing or damaged, as a user of the tasks meets them. Every form of damage: tests/pipeline/load/load_errors_test.ts. */
import { join } from "@std/path";
import { writeVariant } from "../pipeline/load/checkpoint_variants.ts";
import { GOLDEN, PROJECT, workplace } from "./support.ts";

Deno.test("bad checkpoint: no such folder, or files of it are missing", async () => {
  await using place = await workplace();
  await place.fails("eval", ["--model-name", "nowhere/none"], {
    says: [/Cannot find model "nowhere\/none"/, /weights\/none/, /--model-name/],
  });
  const files = ["config.json", "tokenizer.json", "preprocessor_config.json", "model-00002-of-00002.safetensors"];
  for (const name of files) {
    const model = await place.copyOf(join(GOLDEN, "model"));
    await Deno.remove(join(model, name));
    const task = name === "config.json" ? "stage1" : "eval";
    await place.fails(task, ["--model-name", model], {
      says: [new RegExp(`^Cannot load "${model}": `), new RegExp(`${name}.* is missing`), /again/],
    });
  }
});

Deno.test("bad checkpoint: a truncated file, a tensor of a wrong shape, files that are no JSON", async () => {
  await using place = await workplace();
  const truncated = await place.copyOf(join(GOLDEN, "model"));
  const shard = join(truncated, "model-00001-of-00002.safetensors");
  await Deno.truncate(shard, 1_000_000);
  await place.fails("stage2", ["--model-name", truncated], {
    says: [new RegExp(shard), /it is truncated: found 1000000 bytes, expected \d+/, /download or copy the file again/],
  });
  await Deno.mkdir(place.file("wrong"));
  await writeVariant(join(PROJECT, "demo", "model"), place.file("wrong"), {
    tensors: ({ "model.norm.weight": norm, ...others }) => ({ ...others, "model.norm.weight": { ...norm, shape: [1, 192] } }),
  });
  await place.fails("encode", ["--model-name", place.file("wrong"), "--feature-cache", place.file("outputs", "features")], {
    says: [/1 of \d+ tensors do not fit config\.json/, /model\.norm\.weight has shape \(1, 192\), expected \(192,\)/, /same checkpoint/],
  });
  for (const name of ["config.json", "tokenizer.json"]) {
    const model = await place.copyOf(join(GOLDEN, "model"));
    await Deno.truncate(join(model, name), 100);
    await place.fails("eval", ["--model-name", model], { says: [new RegExp(join(model, name)), /JSON/, /again|restore|check/] });
  }
});
