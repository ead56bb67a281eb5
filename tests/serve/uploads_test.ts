import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { pictureType } from "../../pipeline/serve/picture_type.ts";
import { PICTURE, pngHeader, quickHandler, READING, upload } from "./support.ts";

const text = (words: string) => new TextEncoder().encode(words);

/** Status and message of an upload, and whether a good picture is read after it. */
async function refused(bytes: Uint8Array<ArrayBuffer>, init: RequestInit = {}) {
  const handler = quickHandler({ limits: { bytes: 50_000, pixels: 1e6 } });
  const response = await handler.handle(upload(bytes, init));
  const { error } = await response.json();
  const after = await handler.handle(upload(await Deno.readFile(PICTURE)));
  assertEquals([after.status, await after.json()], [200, READING]);
  return { status: response.status, error: error as string };
}

Deno.test("what is no picture is refused by its content, whatever it is called", async () => {
  const { status, error } = await refused(text("just some notes"), { headers: { "Content-Type": "image/png" } });
  assertEquals(status, 415);
  assertStringIncludes(error, "looks like text. Expected JPEG, PNG");
  assertStringIncludes((await refused(text('<svg xmlns="http://www.w3.org/2000/svg"/>'))).error, "an SVG drawing; save it as PNG");
  assertStringIncludes((await refused(text("%PDF-1.7"))).error, "a PDF document");
  assertStringIncludes((await refused(new Uint8Array([0, 0, 0, 24, ...text("ftypheic"), 0, 0, 0, 0]))).error, "HEIC");
  assertStringIncludes((await refused(new Uint8Array([1, 2, 3, 0, 200]))).error, "no known kind");
});

Deno.test("a picture of 200 megapixels is refused by its header", async () => {
  const { status, error } = await refused(pngHeader(20_000, 10_000));
  assertEquals(status, 413);
  assertStringIncludes(error, "20000 × 10000 pixels, 200 megapixels; at most 1 megapixels");
});

Deno.test("a file that is too large is refused: by the announced length, and while it comes", async () => {
  const large = new Uint8Array(60_000);
  assertEquals((await refused(large)).status, 413);
  assertEquals((await refused(large, { headers: { "Content-Length": "60000" } })).status, 413);
  assertStringIncludes((await refused(large, { headers: { "Content-Length": "60000" } })).error, "limit. Make the picture smaller");
});

Deno.test("empty files, damaged headers and forms are refused", async () => {
  assertEquals(await refused(new Uint8Array()), { status: 400, error: "The file is empty; send the picture's bytes as the body" });
  const { status, error } = await refused(new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 1]));
  assertEquals(status, 422);
  assertStringIncludes(error, "This JPEG file is damaged");
  const form = await refused(text("--x"), { headers: { "Content-Type": "multipart/form-data; boundary=x" } });
  assertStringIncludes(form.error, "curl --data-binary");
});

Deno.test("for the page, a refusal is the last line", async () => {
  const response = await quickHandler().handle(upload(text("no picture"), { headers: { Accept: "application/x-ndjson" } }));
  const event = JSON.parse(await response.text());
  assertEquals([response.status, event.event, event.status], [200, "failed", 415]);
});

Deno.test("kinds of pictures by their first bytes", async () => {
  assertEquals(pictureType(await Deno.readFile(PICTURE)), "JPEG");
  assertEquals(pictureType(pngHeader(1, 1)), "PNG");
  assertEquals(pictureType(text("RIFF\0\0\0\0WEBPVP8 ")), "WebP");
  assertEquals(pictureType(new Uint8Array([0, 0, 0, 28, ...text("ftypavif")])), "AVIF");
  assertEquals(pictureType(new Uint8Array([0, 0, 0, 28, ...text("ftypmif1"), 0, 0, 0, 0, ...text("miafavif")])), "AVIF");
  assertEquals(pictureType(text("II*\0")), "TIFF");
  assert(pictureType(text("RIFF\0\0\0\0WAVE")) === undefined);
});
