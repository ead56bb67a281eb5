/** Pictures of random pixels by name, so that nothing has to be read or decoded: "640x480 7" is the seventh one of that size. */
import { seededRandom } from "../../../pipeline/data/random.ts";
import { FeatureStore } from "../../../pipeline/encode.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import type { Qwen2Vl } from "../../../pipeline/load.ts";
import type { ProcessedPicture } from "../../../pipeline/qwen2_vl/preprocess/preprocess.ts";

/** Width and height in pixels. */
export type Size = readonly [width: number, height: number];

/** Sizes from a text as "640x480,1024x768". @throws {MaspError} when it is none */
export function parseSizes(text: string): Size[] {
  return text.split(",").map((part) => {
    const [, width, height] = part.trim().match(/^(\d+)[x×](\d+)$/) ?? [];
    if (!width) throw new MaspError(`"${part}" is no picture size; expected WIDTHxHEIGHT, as 640x480,1024x768`);
    return [Number(width), Number(height)] as const;
  });
}

/** The name of a size. */
export function sizeName([width, height]: Size): string {
  return `${width}x${height}`;
}

/** Different pictures that are made of a size; then they come again under other names. */
const DIFFERENT = 2;

/** A store that gives random pictures. Their pixels are made before the first one is asked for. */
export function randomPictures(model: Qwen2Vl, options: { sizes: readonly Size[]; gpuBytes?: number }): FeatureStore {
  const pictures = new Map<string, ProcessedPicture[]>();
  for (const size of options.sizes) {
    const [width, height] = size;
    const random = seededRandom(1, sizeName(size));
    pictures.set(
      sizeName(size),
      Array.from({ length: DIFFERENT }, () => {
        const data = new Uint8Array(width * height * 3);
        for (let i = 0; i < data.length; i++) data[i] = random.int(256);
        return model.processor.process({ width, height, data });
      }),
    );
  }
  return new FeatureStore(model, {
    gpuBytes: options.gpuBytes,
    read: (name) => {
      const [size, number] = name.split(" ");
      return Promise.resolve(pictures.get(size)![Number(number) % DIFFERENT]);
    },
  });
}
