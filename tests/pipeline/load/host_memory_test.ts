/** Weights are streamed: host memory does not grow with the checkpoint. */
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { loadQwen2Vl } from "../../../pipeline/load.ts";
import { DEMO_MODEL, deviceTest, temporaryFolder } from "../stages/support.ts";
import { writeSparseCheckpoint } from "./sparse_checkpoint.ts";

const MIB = 2 ** 20;
/** The embedding and the head each take as many bytes in bf16. */
const BYTES = 256 * MIB;

deviceTest("load: host memory stays within 256 MiB beyond what the GPU holds, for a checkpoint of 512 MiB", async (gpu) => {
  using dir = temporaryFolder();
  const demo = JSON.parse(await Deno.readTextFile(`${DEMO_MODEL}/config.json`));
  const bytes = await writeSparseCheckpoint(dir.path, { ...demo, vocab_size: Math.floor(BYTES / 2 / demo.hidden_size) });
  const start = Deno.memoryUsage().rss;
  let read = 0;
  let most = 0;
  const held = gpu.counters.bytes;
  let heldFirst: number | undefined;
  using model = await loadQwen2Vl(gpu, dir.path, {
    weights: "bf16",
    onProgress: (done) => {
      read = done;
      heldFirst ??= gpu.counters.bytes - held;
      const ofGpu = gpu.software ? done : 0; // a software adapter's buffers lie in host memory
      most = Math.max(most, Deno.memoryUsage().rss - start - ofGpu);
    },
  });
  assertEquals(model.unusedTensors, []);
  assertEquals(read, bytes);
  assertGreater(bytes / MIB, 511);
  assertLess(most / MIB, 256);
  // Every tensor has its memory before the first byte is read.
  assertGreater(heldFirst!, bytes - 1);
});
