/** Checkpoints and trained files that are missing, damaged, of another model, or not what they claim to be. */
import { assert, assertEquals } from "@std/assert";
import { exists } from "@std/fs";
import { BlobWriter, TextReader, Uint8ArrayReader, ZipWriter } from "@zip.js/zip.js";
import { runTask, workplace } from "./support.ts";

Deno.test("checkpoint folders: missing, incomplete, truncated, of other shapes", async () => {
  await using place = await workplace();
  const config = ["--config", place.config];
  const fails = (...says: RegExp[]) => place.fails("eval", config, { says });
  await place.fails("eval", [...config, "--model-name", "nowhere"], { says: [/Cannot find model "nowhere"/, /--model-name/] });
  for (const name of ["config.json", "tokenizer.json", "preprocessor_config.json", "model-00002-of-00002.safetensors"]) {
    await Deno.rename(place.file("model", name), place.file("hidden"));
    await fails(new RegExp(name.replaceAll(".", "\\.")), /model/);
    await Deno.rename(place.file("hidden"), place.file("model", name));
  }
  const shard = place.file("model", "model-00001-of-00002.safetensors");
  const bytes = await Deno.readFile(shard);
  await Deno.writeFile(shard, bytes.subarray(0, bytes.length - 1000));
  await fails(/model-00001-of-00002\.safetensors/, /truncated|shorter|ends/);
  await Deno.writeFile(shard, bytes);
  const file = place.file("model", "config.json");
  const text = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, JSON.stringify({ ...JSON.parse(text), intermediate_size: 4 + JSON.parse(text).intermediate_size }));
  await fails(/mlp/, /shape|\(\d+, \d+\)|\[\d+, ?\d+\]/);
});

/** A file as `torch.save` writes it, around any pickle. */
async function torchFile(pickle: string): Promise<Uint8Array> {
  const zip = new ZipWriter(new BlobWriter(), { level: 0 });
  await zip.add("archive/data.pkl", new Uint8ArrayReader(new TextEncoder().encode(pickle)));
  await zip.add("archive/version", new TextReader("3\n"));
  return new Uint8Array(await (await zip.close()).arrayBuffer());
}

Deno.test("pickles that name anything but tensors are refused, and nothing in them is executed", async () => {
  await using place = await workplace();
  const proof = place.file("executed");
  const evil = await torchFile(`cposix\nsystem\n(S'touch ${proof}'\ntR.`);
  for (const name of ["aspect.pth", "soft_prompt.pt"]) {
    const good = await Deno.readFile(place.file(name));
    await Deno.writeFile(place.file(name), evil);
    await place.fails("eval", ["--config", place.config], { says: [new RegExp(name.replace(".", "\\.")), /posix\.system/] });
    await Deno.writeFile(place.file(name), good);
  }
  assert(!await exists(proof), "the pickle's command ran");
});

Deno.test("trained files that are missing, or of a model of another size", async () => {
  await using place = await workplace();
  const config = ["--config", place.config];
  await place.fails("eval", [...config, "--soft-prompt-path", place.file("none.pt")], {
    says: [/none\.pt": there is no such file; train first \(deno task stage2\)/],
  });
  const demo = ["--model-name", "demo/model"]; // another hidden size
  await place.fails("eval", [...config, ...demo], { says: [/aspect\.pth/, /hidden size of \d+, the model's is \d+/] });
  await place.fails("stage2", [...config, "--ckpt-path", place.file("none.pth")], {
    says: [/none\.pth": there is no such file; train first \(deno task stage1\)/],
  });
});

Deno.test("no adapter: says what to install", async () => {
  await using place = await workplace();
  const says = [/No WebGPU adapter answers/, /mesa-vulkan-drivers/];
  await place.fails("eval", ["--config", place.config], { says, env: { VK_ICD_FILENAMES: "/none", VK_DRIVER_FILES: "/none" } });
});

Deno.test("a loss that is not finite stops the run with the last good checkpoint in place; other settings cannot go on from it", async () => {
  await using place = await workplace();
  const own = ["--config", place.config, "--output-dir", place.file("run")];
  const short = [...own, "--save-steps", "10", "--max-steps", "10"];
  assertEquals((await runTask("stage1", short)).code, 0);
  const states = () => Array.fromAsync(Deno.readDir(place.file("run", "checkpoints"))).then((all) => all.map(({ name }) => name).sort());
  const before = await states();
  assert(before.length > 0);
  const wild = await place.fails("stage1", [
    ...own,
    "--learning-rate",
    "1e38",
    "--save-steps",
    "10",
    "--warmup-ratio",
    "0",
    "--output-dir",
    place.file("wild"),
  ], {
    says: [/Training stopped: .* at step \d+/, /Try a lower learning rate/],
  });
  assert(!await exists(place.file("wild", "aspect.safetensors")), wild);
  await place.fails("stage1", [...own, "--resume", "--learning-rate", "2e-5"], {
    says: [/Cannot go on from the checkpoint of step 10/, /learningRate|learning_rate/],
  });
  assertEquals(await states(), before);
});
