import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import sharp from "sharp";
import { decodePicture } from "../../../pipeline/data/decode_picture.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { GOLDEN_DIR } from "../../golden_reader.ts";

const image = (name: string) => Deno.readFile(join(GOLDEN_DIR, "images", name));

/** 3×2 pixels, all channels different. */
const pixels = Uint8Array.from({ length: 18 }, (_, i) => i * 14);
const source = () => sharp(pixels, { raw: { width: 3, height: 2, channels: 3 } });

Deno.test("lossless files of every kind give their pixels", async () => {
  const files: Record<string, Uint8Array> = {
    png: await source().png().toBuffer(),
    "png with 16 bits": await source().toColourspace("rgb16").png().toBuffer(),
    "png with alpha": await source().ensureAlpha(0.25).png().toBuffer(),
    "png with palette": await source().png({ palette: true, dither: 0, quality: 100 }).toBuffer(),
    webp: await source().webp({ lossless: true }).toBuffer(),
    tiff: await source().tiff({ compression: "lzw" }).toBuffer(),
    gif: await source().gif({ dither: 0 }).toBuffer(),
  };
  for (const [name, bytes] of Object.entries(files)) {
    const picture = await decodePicture(bytes, { name });
    assertEquals(picture, { data: pixels, width: 3, height: 2 }, name);
  }
});

Deno.test("a gray picture of 16 bits keeps its upper 8", async () => {
  const gray = Uint16Array.from([0, 0x1234, 0x80ff, 0xffff]);
  const bytes = await sharp(gray, { raw: { width: 2, height: 2, channels: 1 } }).toColourspace("grey16").png().toBuffer();
  const { data } = await decodePicture(bytes, { name: "gray.png" });
  assertEquals([...data], [0, 0x12, 0x80, 0xff].flatMap((value) => [value, value, value]));
});

const broken: Record<string, { bytes: () => Promise<Uint8Array>; maxPixels?: number; reason: string }> = {
  "cut.jpg": { bytes: async () => (await image("rocket_201x133.jpg")).subarray(0, 3000), reason: "premature end" },
  "cut.png": { bytes: async () => (await image("chelsea_98x70.png")).subarray(0, 9000), reason: "" },
  "cut.webp": { bytes: async () => (await image("coffee_420.webp")).subarray(0, 1200), reason: "" },
  "header.jpg": { bytes: async () => (await image("rocket_201x133.jpg")).subarray(0, 30), reason: "" },
  "text.jpg": { bytes: () => Promise.resolve(new TextEncoder().encode("no picture")), reason: "unsupported image format" },
  "empty.png": { bytes: () => Promise.resolve(new Uint8Array()), reason: "the file is empty" },
  "large.png": { bytes: () => image("chelsea_98x70.png"), maxPixels: 1000, reason: "98×70 pixels, more than the limit of 1000" },
};

for (const [name, { bytes, maxPixels, reason }] of Object.entries(broken)) {
  Deno.test(`${name}: cannot be decoded, in one line that names the file`, async () => {
    const file = await bytes();
    const { message } = await assertRejects(() => decodePicture(file, { name, maxPixels }), MaspError);
    assertStringIncludes(message, `Cannot decode picture "${name}": `);
    assertMatch(message, /\w; replace or remove the file$/); // one mark between the reason and the advice
    assertStringIncludes(message, reason);
    assertEquals(message.split("\n").length, 1);
  });
}
