import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { decodePicture } from "../../../pipeline/data/decode_picture.ts";
import { resample } from "../../../pipeline/qwen2_vl/preprocess/resample.ts";
import { limitLongestSide } from "../../../pipeline/qwen2_vl/preprocess/smart_resize.ts";
import { loadPictureProcessor } from "../../../pipeline/qwen2_vl/preprocess/preprocess.ts";
import { GOLDEN_DIR, goldenTensors } from "../../golden_reader.ts";

const golden = goldenTensors();
const names = golden.names("image/").filter((name) => name.endsWith("/rgb")).map((name) => name.split("/")[1]);

/** Fails with the number of differing bytes and the largest difference. */
function assertSameBytes(actual: Uint8Array, name: string): void {
  const expected = golden.get(name).data;
  assertEquals(actual.length, expected.length, name);
  let differing = 0, largest = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i] - Number(expected[i]));
    if (difference > 0) differing++;
    largest = Math.max(largest, difference);
  }
  assertEquals({ differing, largest }, { differing: 0, largest: 0 }, name);
}

Deno.test("the golden folder has decoding cases", () => assert(names.length > 0));

for (const name of names) {
  Deno.test(`${name}: decoded, resized and cut into patches as the golden values say`, async () => {
    const picture = await decodePicture(await Deno.readFile(join(GOLDEN_DIR, "images", name)), { name });
    const [height, width] = golden.get(`image/${name}/rgb`).shape;
    assertEquals({ width: picture.width, height: picture.height }, { width, height });
    assertSameBytes(picture.data, `image/${name}/rgb`);

    const limited = resample(picture, limitLongestSide(picture), { filter: "lanczos" });
    assertEquals(limited !== picture, golden.has(`image/${name}/lanczos`));
    if (limited !== picture) assertSameBytes(limited.data, `image/${name}/lanczos`);

    const processor = await loadPictureProcessor(join(GOLDEN_DIR, "model"));
    assertSameBytes(processor.resize(picture).data, `image/${name}/smart_resized`);

    const { pixels, grid, patches, tokens } = processor.process(picture);
    assertEquals<number[]>(grid, golden.integers(`image/${name}/grid_thw`));
    assertEquals(patches, grid[1] * grid[2]);
    assertEquals(tokens, golden.get(`image/${name}/vision`).shape[0]);
    if (golden.has(`image/${name}/pixel_values`)) {
      const expected = golden.f32(`image/${name}/pixel_values`);
      assertEquals([patches, pixels.length / patches], expected.shape);
      const largest = pixels.reduce((max, value, i) => Math.max(max, Math.abs(value - expected.data[i])), 0);
      assert(largest <= 1e-6, `pixel_values differ by ${largest}`);
    }
  });
}
