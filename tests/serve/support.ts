/** What the tests of the page's server share. */
import { fromFileUrl, join } from "@std/path";
import { PageHandler, type PageHandlerOptions, type ServedModel } from "../../pipeline/serve/handler.ts";
import type { ServedReading } from "../../pipeline/serve/picture_reader.ts";

/** Folder of the golden values. */
export const GOLDEN: string = fromFileUrl(new URL("../golden", import.meta.url));
/** A picture that can be read. */
export const PICTURE: string = join(GOLDEN, "images", "rocket_201x133.jpg");

/** A reading that no model made. */
export const READING: ServedReading = {
  text: "awe",
  emotion: "awe",
  scores: { awe: 0.75, fear: 0.25 },
  aspects: { scene: "a launch pad" },
};

/** What the handlers of the tests say of their model. */
export const ABOUT: ServedModel = {
  model: "a model",
  method: "MASP",
  gpu: "an adapter",
  software: true,
  views: ["scene"],
  categories: ["awe", "fear"],
};

/** A handler whose pictures are all read alike. */
export function quickHandler(options: Partial<PageHandlerOptions> = {}): PageHandler {
  return new PageHandler({ reader: { read: () => Promise.resolve(READING) }, about: ABOUT, ...options });
}

/** A handler whose pictures are read when they are let go. */
export function slowHandler(options: Partial<PageHandlerOptions> = {}) {
  const begun: (() => void)[] = [];
  let most = 0;
  let now = 0;
  const read = async () => {
    most = Math.max(most, ++now);
    const { promise, resolve } = Promise.withResolvers<void>();
    begun.push(resolve);
    await promise;
    now--;
    return READING;
  };
  const handler = new PageHandler({ reader: { read }, about: ABOUT, ...options });
  /** Waits for a picture to be begun, and lets it go. */
  const finishNext = async () => {
    while (begun.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    begun.shift()!();
  };
  return { handler, finishNext, most: () => most };
}

/** A request to a server on this machine. */
export function request(path: string, init: RequestInit = {}): Request {
  return new Request(`http://127.0.0.1:8000${path}`, init);
}

/** A request with a picture. */
export function upload(bytes: Uint8Array<ArrayBuffer>, init: RequestInit & { path?: string } = {}): Request {
  const { path = "/api/predict", ...rest } = init;
  return request(path, { method: "POST", body: bytes, ...rest });
}

/** A PNG's beginning that announces a size; there are no pixels in it. */
export function pngHeader(width: number, height: number): Uint8Array<ArrayBuffer> {
  const chunk = new Uint8Array(17);
  chunk.set(new TextEncoder().encode("IHDR"));
  const view = new DataView(chunk.buffer);
  view.setUint32(4, width);
  view.setUint32(8, height);
  chunk.set([8, 2, 0, 0, 0], 12);
  const idat = new TextEncoder().encode("IDAT");
  return new Uint8Array([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, ...chunk, ...crc(chunk), 0, 0, 0, 0, ...idat, ...crc(idat)]);
}

function crc(bytes: Uint8Array): number[] {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  const sum = ~value >>> 0;
  return [sum >>> 24, (sum >>> 16) & 255, (sum >>> 8) & 255, sum & 255];
}

/** JSON lines of a response. */
export async function eventsOf(response: Response): Promise<Record<string, unknown>[]> {
  return (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
}
