/** Pictures processed in workers: the same patches, in turn, errors as without a worker. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { MaspError } from "../../../pipeline/errors.ts";
import { PictureQueue } from "../../../pipeline/qwen2_vl/preprocess/picture_queue.ts";
import type { Picture } from "../../../pipeline/qwen2_vl/preprocess/picture.ts";
import { loadPictureProcessor } from "../../../pipeline/qwen2_vl/preprocess/preprocess.ts";
import { DEMO_MODEL } from "../stages/support.ts";

function picture(width: number, height: number): Picture {
  return { width, height, data: Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * 7919 + width) >> 3) };
}

Deno.test("picture queue: workers give the same patches, with and without memory of their own", async () => {
  const processor = await loadPictureProcessor(DEMO_MODEL);
  using queue = new PictureQueue(processor, { workers: 2, smallest: 100 * 100 });
  const sizes = [[120, 100], [90, 80], [201, 133], [130, 99]] as const;
  const processed = await Promise.all(sizes.map(([width, height]) => queue.process(() => Promise.resolve(picture(width, height)))));
  assertEquals(processed, sizes.map(([width, height]) => processor.process(picture(width, height))));
  const whole = new Uint8Array(3 * 120 * 100 + 5);
  whole.set(picture(120, 100).data, 5);
  assertEquals(await queue.process(() => Promise.resolve({ width: 120, height: 100, data: whole.subarray(5) })), processed[0]);
  assert(whole.length > 0, "memory that is shared with others was taken away");
});

Deno.test("picture queue: few are decoded at once, and errors hold nobody up", async () => {
  const processor = await loadPictureProcessor(DEMO_MODEL);
  using queue = new PictureQueue(processor, { workers: 2, smallest: 10 });
  let [now, most] = [0, 0];
  const decode = async (i: number) => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 2));
    now--;
    if (i === 1) throw new MaspError("cannot be decoded");
    return i === 2 ? picture(2, 600) : picture(60, 60);
  };
  const results = await Promise.allSettled(Array.from({ length: 6 }, (_, i) => queue.process(() => decode(i))));
  assertEquals(results.map(({ status }) => status === "fulfilled"), [true, false, false, true, true, true]);
  assertEquals(most, 2);
  await assertRejects(() => queue.process(() => decode(1)), MaspError, "cannot be decoded");
  await assertRejects(() => queue.process(() => decode(2)), MaspError, "200");
});
