import { assert, assertAlmostEquals, assertEquals, assertLess, assertRejects, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { crossAttentionReference } from "../../../kernels/cross_attention/_reference.ts";
import { createAspects, loadAspects } from "../../../pipeline/aspect_attend.ts";
import { AttentionMapper, attentionMaps, heatmapPng } from "../../../pipeline/aspects/attention_maps.ts";
import { readAspectFile } from "../../../pipeline/checkpoint/aspect_file.ts";
import { decodePicture } from "../../../pipeline/data/decode_picture.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { PictureInputs } from "../../../pipeline/picture_inputs.ts";
import { loadQwen2Vl } from "../../../pipeline/load.ts";
import { GOLDEN_DIR } from "../../golden_reader.ts";
import { deviceTest } from "../stages/support.ts";

deviceTest("attention maps are the weights of PyTorch's cross-attention in f64, on the picture's own grid", async (gpu) => {
  using model = await loadQwen2Vl(gpu, join(GOLDEN_DIR, "model"));
  const file = join(GOLDEN_DIR, "aspect.pth");
  using aspects = await loadAspects(model, file);
  const parameters = await readAspectFile(file);
  await using store = new FeatureStore(model);
  using mapper = new AttentionMapper(model, { aspects, store });
  for (const name of ["rocket_201x133.jpg", "coffee_75x190.jpg"]) {
    const picture = join(GOLDEN_DIR, "images", name);
    const maps = await mapper.maps(picture);
    assertEquals(maps.map(({ view }) => view), [...aspects.views]);
    const { width, height } = await decodePicture(await Deno.readFile(picture), { name });
    const { tensor } = await store.get(picture);
    const features = await gpu.readFloats(tensor);
    for (const { view, rows, columns, queries, mean } of maps) {
      assertEquals([rows, columns], [Math.round(height / 28), Math.round(width / 28)]);
      const { inProjWeight, inProjBias, outProjWeight, outProjBias } = parameters.attention.get(view)!;
      const expected = crossAttentionReference(
        {
          queries: parameters.queries.get(view)!,
          inWeight: inProjWeight,
          inBias: inProjBias,
          outWeight: outProjWeight,
          outBias: outProjBias,
        },
        features,
        parameters.hidden,
      ).attention;
      assertEquals(queries.length, parameters.tokens);
      queries.forEach((query, q) => {
        assertEquals(query.length, rows * columns);
        assertAlmostEquals(query.reduce((sum, weight) => sum + weight, 0), 1, 1e-5);
        query.forEach((weight, i) => assertAlmostEquals(weight, expected[q * query.length + i], 2e-6));
      });
      mean.forEach((weight, i) => assertAlmostEquals(weight, queries.reduce((sum, query) => sum + query[i], 0) / queries.length, 1e-7));
    }
    assertEquals(await attentionMaps(model, picture, { aspects, store }), maps);
  }
});

Deno.test("a heatmap is transparent where there is no weight and brightest at the highest, at the size that is asked for", async () => {
  const { default: sharp } = await import("sharp");
  const weights = Float32Array.from([0, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 0.25, 0]);
  const png = await heatmapPng({ rows: 3, columns: 4, weights }, { width: 80, height: 60 });
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  assertEquals([info.width, info.height, info.channels], [80, 60, 4]);
  const at = (x: number, y: number) => [...data.subarray(4 * (y * 80 + x), 4 * (y * 80 + x) + 4)];
  assertEquals(at(75, 5)[3], 0);
  assertEquals(at(5, 50)[3], 0);
  const [red, green, , opacity] = at(30, 30);
  assert(red > 200 && green > 200 && opacity > 200, `the brightest cell is ${at(30, 30)}`);
  assertLess(at(50, 50)[3], opacity);
  assert(at(50, 50)[3] > 0);
  await assertRejects(() => heatmapPng({ rows: 2, columns: 2, weights }), MaspError, "expected 2 × 2");
});

deviceTest("aspect modules that hold one view at a time are refused where all views are asked", async (gpu) => {
  using model = await loadQwen2Vl(gpu, join(GOLDEN_DIR, "model"));
  using aspects = createAspects(model, { offload: true });
  await using store = new FeatureStore(model);
  for (const make of [() => new AttentionMapper(model, { aspects, store }), () => new PictureInputs(model, { aspects, store })]) {
    assertThrows(make, MaspError, "one view at a time");
  }
});
