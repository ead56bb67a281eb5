/** Trained files that are missing, of another model or not what they claim to be; no adapter; a training that cannot go on. */
import { assert, assertEquals } from "@std/assert";
import { exists } from "@std/fs";
import { BlobWriter, TextReader, Uint8ArrayReader, ZipWriter } from "@zip.js/zip.js";
import { workplace } from "./support.ts";

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
    await place.fails("eval", [], { says: [new RegExp(name.replace(".", "\\.")), /posix\.system/] });
    await Deno.writeFile(place.file(name), good);
  }
  assert(!await exists(proof), "the pickle's command ran");
});

Deno.test("trained files that are missing, or of a model of another size", async () => {
  await using place = await workplace();
  await place.fails("eval", ["--soft-prompt-path", place.file("none.pt")], {
    says: [/none\.pt": there is no such file; train first \(deno task stage2\)/],
  });
  const demo = ["--model-name", "demo/model"]; // another hidden size
  await place.fails("eval", demo, { says: [/aspect\.pth/, /hidden size of \d+, the model's is \d+/] });
  await place.fails("stage2", ["--ckpt-path", place.file("none.pth")], {
    says: [/none\.pth": there is no such file; train first \(deno task stage1\)/],
  });
});

Deno.test("no adapter: says what to install", async () => {
  await using place = await workplace();
  const says = [/No WebGPU adapter answers/, /mesa-vulkan-drivers/];
  await place.fails("eval", [], { says, env: { VK_ICD_FILENAMES: "/none", VK_DRIVER_FILES: "/none" } });
});

Deno.test("a loss that is not finite stops the run with the last good checkpoint in place; other settings cannot go on from it", async () => {
  await using place = await workplace();
  const own = ["--output-dir", place.file("run")];
  const short = [...own, "--save-steps", "10", "--max-steps", "10"];
  assertEquals((await place.run("stage1", short)).code, 0);
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
