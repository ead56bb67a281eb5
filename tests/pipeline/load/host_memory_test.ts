/** Weights are streamed: host memory does not grow with the checkpoint. */
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { loadQwen2Vl } from "../../../pipeline/load.ts";
import { expectedTensors } from "../../../pipeline/qwen2_vl/weights.ts";
import { parseConfig } from "../../../pipeline/qwen2_vl/config.ts";
import { DEMO_MODEL, deviceTest, temporaryFolder } from "../stages/support.ts";

const MIB = 2 ** 20;
/** The embedding and the head each take as many bytes in bf16. */
const BYTES = 256 * MIB;

/** A checkpoint of zeros, as a file with a hole: written in no time. */
async function writeZeros(dir: string): Promise<number> {
  for (const name of ["tokenizer.json", "tokenizer_config.json", "chat_template.json", "preprocessor_config.json"]) {
    await Deno.copyFile(`${DEMO_MODEL}/${name}`, `${dir}/${name}`);
  }
  const demo = JSON.parse(await Deno.readTextFile(`${DEMO_MODEL}/config.json`));
  const config = { ...demo, vocab_size: Math.floor(BYTES / 2 / demo.hidden_size) };
  await Deno.writeTextFile(`${dir}/config.json`, JSON.stringify(config));
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, shape] of expectedTensors(parseConfig(config, { name: dir }))) {
    const begin = end;
    end += 2 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: "BF16", shape, data_offsets: [begin, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  using file = await Deno.open(`${dir}/model.safetensors`, { write: true, create: true });
  await file.write(new Uint8Array(BigUint64Array.of(BigInt(json.length)).buffer));
  for (let done = 0; done < json.length;) done += await file.write(json.subarray(done));
  await file.truncate(8 + json.length + end);
  return end;
}

deviceTest("load: host memory stays within 256 MiB beyond what the GPU holds, for a checkpoint of 512 MiB", async (gpu) => {
  using dir = temporaryFolder();
  const bytes = await writeZeros(dir.path);
  const start = Deno.memoryUsage().rss;
  let read = 0;
  let most = 0;
  using model = await loadQwen2Vl(gpu, dir.path, {
    weights: "bf16",
    onProgress: (done) => {
      read = done;
      const ofGpu = gpu.software ? done : 0; // a software adapter's buffers lie in host memory
      most = Math.max(most, Deno.memoryUsage().rss - start - ofGpu);
    },
  });
  assertEquals(model.unusedTensors, []);
  assertEquals(read, bytes);
  assertGreater(bytes / MIB, 511);
  assertLess(most / MIB, 256);
});
