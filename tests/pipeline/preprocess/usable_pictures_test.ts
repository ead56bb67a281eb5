/** The look at all pictures before a run, and what becomes of unusual ones. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import sharp from "sharp";
import { decodePicture } from "../../../pipeline/data/decode_picture.ts";
import { mapParallel } from "../../../pipeline/data/map_parallel.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { findBadPictures, usablePictures } from "../../../pipeline/pictures.ts";
import { checkPictureSize, limitLongestSide, smartResize } from "../../../pipeline/qwen2_vl/preprocess/smart_resize.ts";
import { GOLDEN_DIR } from "../../golden_reader.ts";

/** A gray PNG. */
const blank = (width: number, height: number) => sharp({ create: { width, height, channels: 3, background: "#808080" } }).png().toBuffer();

/** A folder with files, removed when disposed of. */
async function folder(files: Record<string, Uint8Array>) {
  const path = await Deno.makeTempDir({ prefix: "masp_pictures_" });
  for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(join(path, name), bytes);
  return { file: (name: string) => join(path, name), [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** A JPEG with much detail. */
const jpeg = () => Deno.readFile(join(GOLDEN_DIR, "images", "rocket_201x133.jpg"));

/** Several decoders at once share libvips's text of the last fault, so that one of them may say "Unknown error" in its place. */
const withoutFault = (text: string): string => text.replaceAll(/(Cannot decode picture "[^"]*"): .*; replace/g, "$1; replace");

Deno.test("pictures that are too narrow, empty, cut or damaged midway are found before a run, each with its path", async () => {
  const whole = await jpeg();
  const png = await sharp(whole).png().toBuffer();
  const midway = png.slice();
  midway.fill(0xa5, png.length >> 1, (png.length >> 1) + 400);
  await using dir = await folder({
    "good.jpg": whole,
    "wide.png": await blank(2000, 2),
    "tall.png": await blank(2, 500),
    "just.png": await blank(1000, 5),
    "edge.png": await blank(2000, 10), // 1024×5 after the reduction
    "empty.jpg": new Uint8Array(),
    "cut.jpg": whole.subarray(0, whole.length >> 1),
    "midway.png": midway,
  });
  const names = ["good.jpg", "wide.png", "tall.png", "just.png", "edge.png", "empty.jpg", "cut.jpg", "midway.png", "gone.jpg"];
  const samples = names.map((name) => ({ image: dir.file(name) }));
  const { usable, skipped } = await usablePictures(samples, { skip: true });
  assertEquals(usable, [samples[0], samples[3]]);
  const reasons: Record<string, string> = {
    "wide.png": "2000×2 pixels is too narrow",
    "tall.png": "2×500 pixels is too narrow",
    "edge.png": "2000×10 pixels is too narrow",
    "empty.jpg": "the file is empty",
    "cut.jpg": "Cannot decode picture",
    "midway.png": "Cannot decode picture",
    "gone.jpg": "Cannot read picture",
  };
  assertEquals(skipped.map(({ image }) => image), Object.keys(reasons).map(dir.file).toSorted());
  const { message } = await assertRejects(() => usablePictures(samples), MaspError, "7 picture(s) cannot be used");
  for (const [name, reason] of Object.entries(reasons)) {
    const own = skipped.find(({ image }) => image === dir.file(name))!.reason;
    assertStringIncludes(own, `"${dir.file(name)}"`);
    assertStringIncludes(own, reason);
    assertStringIncludes(withoutFault(message), withoutFault(own));
  }
  const none = await assertRejects(() => usablePictures(samples.slice(1, 2), { skip: true }), MaspError, "None of the 1 pictures");
  assertStringIncludes(none.message, "2000×2");
});

Deno.test("checkPictureSize: what it lets pass can be resized, and nothing else", () => {
  const bounds = { factor: 28, minPixels: 3136, maxPixels: 1003520 };
  for (let longer = 180; longer < 5000; longer += 17) {
    for (let shorter = 1; shorter < 30; shorter++) {
      const size = { width: shorter, height: longer };
      const passes = (test: () => void) => {
        try {
          test();
          return true;
        } catch (error) {
          assert(error instanceof MaspError);
          return false;
        }
      };
      assertEquals(passes(() => checkPictureSize(size)), passes(() => smartResize(limitLongestSide(size), bounds)), `${shorter}×${longer}`);
    }
  }
});

Deno.test("the look at pictures tells how far it is, and ends with a signal", async () => {
  await using dir = await folder({ "a.png": await blank(30, 30), "b.png": await blank(30, 30) });
  const images = [dir.file("a.png"), dir.file("b.png")];
  const told: number[][] = [];
  const options = { onPicture: (done: number, total: number) => told.push([done, total]) };
  assertEquals((await findBadPictures([...images, images[0]], options)).size, 0);
  assertEquals(told, [[1, 2], [2, 2]]);
  const stop = new AbortController();
  let begun = 0;
  const work = mapParallel(Array(50).fill(0), async () => {
    if (++begun === 3) stop.abort();
    await Promise.resolve();
  }, { atOnce: 2, signal: stop.signal });
  await assertRejects(() => work, DOMException);
  assert(begun <= 4, `${begun} calls were begun`);
  await assertRejects(() => usablePictures(images.map((image) => ({ image })), { skip: true, signal: stop.signal }), DOMException);
});

Deno.test("of a moving picture the first frame, turned ones as they are stored, CMYK and 16 bits as RGB of 8", async () => {
  const frame = (colour: string) => sharp({ create: { width: 8, height: 6, channels: 3, background: colour } }).png().toBuffer();
  const frames = [await frame("#ff0000"), await frame("#0000ff")];
  const moving = () => sharp(frames, { join: { animated: true } });
  const files = {
    "moving.gif": { bytes: await moving().gif().toBuffer(), first: [255, 0, 0] },
    "moving.webp": { bytes: await moving().webp({ lossless: true }).toBuffer(), first: [255, 0, 0] },
    "turned.jpg": { bytes: await sharp(frames[0]).jpeg().withExif({ IFD0: { Orientation: "6" } }).toBuffer(), first: [254, 0, 0] },
    "cmyk.jpg": { bytes: await sharp(frames[0]).toColourspace("cmyk").jpeg().toBuffer() },
    "deep.png": { bytes: await sharp(frames[0]).toColourspace("rgb16").png().toBuffer(), first: [255, 0, 0] },
  };
  for (const [name, { bytes, ...rest }] of Object.entries(files)) {
    const { width, height, data } = await decodePicture(bytes, { name });
    assertEquals([width, height, data.length], [8, 6, 8 * 6 * 3], name);
    if ("first" in rest) assertEquals([...data.subarray(0, 3)], rest.first, name);
    else assert(data[0] > data[1] + 100 && data[0] > data[2] + 100, `${name}: ${data.subarray(0, 3)}`);
  }
});
