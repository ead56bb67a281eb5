import { assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { MaspError } from "../../../pipeline/errors.ts";
import { normalizationTable, patchify } from "../../../pipeline/qwen2_vl/preprocess/patches.ts";
import { loadPictureProcessor, parsePictureProcessorConfig, PictureProcessor } from "../../../pipeline/qwen2_vl/preprocess/preprocess.ts";
import { resample } from "../../../pipeline/qwen2_vl/preprocess/resample.ts";
import { limitLongestSide, smartResize } from "../../../pipeline/qwen2_vl/preprocess/smart_resize.ts";

const BOUNDS = { factor: 28, minPixels: 4 * 28 * 28, maxPixels: 16384 * 28 * 28 };

function picture(width: number, height: number) {
  return { data: Uint8Array.from({ length: width * height * 3 }, (_, i) => i * 7919 >> 4), width, height };
}

Deno.test("sides become the nearest multiples of the factor, halves the even one", () => {
  assertEquals(smartResize({ width: 640, height: 480 }, BOUNDS), { width: 644, height: 476 });
  assertEquals(smartResize({ width: 98, height: 70 }, BOUNDS), { width: 112, height: 56 }); // 3.5 → 4, 2.5 → 2
  assertEquals(smartResize({ width: 1024, height: 10 }, { ...BOUNDS, minPixels: 784 }), { width: 1036, height: 28 });
});

Deno.test("the area stays within its bounds", () => {
  // The values of transformers' smart_resize.
  assertEquals(smartResize({ width: 9, height: 5 }, BOUNDS), { width: 84, height: 56 });
  assertEquals(smartResize({ width: 1024, height: 768 }, { ...BOUNDS, maxPixels: 401408 }), { width: 728, height: 532 });
  assertEquals(smartResize({ width: 100, height: 80 }, { ...BOUNDS, minPixels: 200704 }), { width: 504, height: 420 });
});

Deno.test("a longer side over 1024 becomes 1024, the other is cut to an integer", () => {
  assertEquals(limitLongestSide({ width: 1400, height: 90 }), { width: 1024, height: 65 });
  assertEquals(limitLongestSide({ width: 1000, height: 3000 }), { width: 341, height: 1024 });
  assertEquals(limitLongestSide({ width: 1024, height: 1024 }), { width: 1024, height: 1024 });
});

Deno.test("a picture that is too narrow is an error that gives its size", () => {
  const processor = new PictureProcessor(parsePictureProcessorConfig({}, { path: "preprocessor_config.json" }));
  for (const [width, height] of [[402, 2], [3000, 1], [5, 1010]]) {
    const error = assertThrows(() => processor.process(picture(width, height)), MaspError);
    assertStringIncludes(error.message, "is too narrow");
  }
});

Deno.test("resampling keeps an even colour, and returns the same picture at the same size", () => {
  const even = { data: new Uint8Array(20 * 30 * 3).fill(201), width: 20, height: 30 };
  for (const filter of ["bicubic", "lanczos"] as const) {
    const resized = resample(even, { width: 33, height: 7 }, { filter });
    assertEquals(resized, { data: new Uint8Array(33 * 7 * 3).fill(201), width: 33, height: 7 });
    assertEquals(resample(even, { width: 20, height: 30 }, { filter }) === even, true);
  }
});

Deno.test("patches stand in merge blocks, each as (channel, time, y, x)", () => {
  const width = 24, height = 12, patchSize = 2, mergeSize = 3, temporalPatchSize = 4;
  const source = picture(width, height);
  const mean = [0.1, 0.2, 0.3], std = [0.4, 0.5, 0.6];
  const table = normalizationTable(mean, std, { scale: 1 / 255 });
  const patches = patchify(source, { patchSize, mergeSize, temporalPatchSize, table });
  let i = 0;
  const block = patchSize * mergeSize;
  for (let blockRow = 0; blockRow < height / block; blockRow++) {
    for (let blockColumn = 0; blockColumn < width / block; blockColumn++) {
      for (let patch = 0; patch < mergeSize * mergeSize; patch++) {
        for (let channel = 0; channel < 3; channel++) {
          for (let pixel = 0; pixel < temporalPatchSize * patchSize * patchSize; pixel++) {
            const inPatch = pixel % (patchSize * patchSize);
            const y = blockRow * block + Math.floor(patch / mergeSize) * patchSize + Math.floor(inPatch / patchSize);
            const x = blockColumn * block + patch % mergeSize * patchSize + inPatch % patchSize;
            const expected = (source.data[(y * width + x) * 3 + channel] / 255 - mean[channel]) / std[channel];
            assertAlmostEquals(patches[i++], expected, 1e-6);
          }
        }
      }
    }
  }
  assertEquals(patches.length, i);
});

Deno.test("the bounds may be named min_pixels and max_pixels, or size; the former win", () => {
  const parse = (json: Record<string, unknown>) => {
    const { minPixels, maxPixels } = parsePictureProcessorConfig(json, { path: "p.json" });
    return [minPixels, maxPixels];
  };
  assertEquals(parse({}), [3136, 1003520]);
  assertEquals(parse({ size: { shortest_edge: 784, longest_edge: 7840 } }), [784, 7840]);
  assertEquals(parse({ size: { shortest_edge: 784, longest_edge: 7840 }, min_pixels: 1568, max_pixels: null }), [1568, 7840]);
});

Deno.test("the checkpoint's bounds apply after the fixed ones", () => {
  const config = parsePictureProcessorConfig({ min_pixels: 784, max_pixels: 28 * 28 * 100 }, { path: "p.json" });
  const { grid, patches, tokens } = new PictureProcessor(config).process(picture(640, 480));
  // 640×480 → 644×476 → at most 78400 pixels.
  assertEquals(grid, [1, 16, 22]);
  assertEquals([patches, tokens], [352, 88]);
});

Deno.test("a wrong value or a missing file is an error that names it", async () => {
  const message = (json: Record<string, unknown>) =>
    assertThrows(() => parsePictureProcessorConfig(json, { path: "p.json" }), MaspError).message;
  assertStringIncludes(message({ patch_size: "14" }), 'patch_size is "14", expected a positive integer');
  assertStringIncludes(message({ image_mean: [0.5] }), "image_mean is [0.5], expected three numbers");
  assertStringIncludes(message({ image_std: [1, 0, 1] }), "image_std is [1,0,1], expected three positive numbers");
  assertStringIncludes(message({ min_pixels: 10, max_pixels: 5 }), "min_pixels is 10, expected at most max_pixels (5)");
  const dir = await Deno.makeTempDir();
  const error = await assertRejects(() => loadPictureProcessor(dir), MaspError);
  assertStringIncludes(error.message, "preprocessor_config.json is missing");
  await Deno.writeTextFile(join(dir, "preprocessor_config.json"), "[]");
  assertStringIncludes((await assertRejects(() => loadPictureProcessor(dir), MaspError)).message, "a list, expected a JSON object");
});
