/** A synthetic data set in EmoSet's layout, as large as one likes. */
import { ensureDir } from "@std/fs";
import { join } from "@std/path";
import { MaspError } from "../errors.ts";
import { type Cues, emotionOf } from "./cues.ts";
import { drawPicture } from "./draw_picture.ts";
import { mulberry32 } from "./mulberry32.ts";
import { measureTones, SIDE } from "./paint.ts";
import type { Sprite } from "./sprites.ts";

/** Options of {@linkcode makeDemoData}. */
export interface MakeDemoDataOptions {
  /** The rule that draws and labels. */
  cues: Cues;
  /** The artwork. */
  artwork: ReadonlyMap<string, Sprite>;
  /** Seed, any whole number. */
  seed: number;
  /** Training pictures of each emotion. */
  train: number;
  /** Test pictures of each emotion. */
  test: number;
  /** Ends the work early; nothing is left behind. */
  signal?: AbortSignal;
}

/** How far {@linkcode makeDemoData} has come. */
export interface DemoDataProgress {
  /** Pictures that are kept. */
  done: number;
  /** Pictures that there will be. */
  total: number;
}

/**
 * Draws pictures until every emotion has its share: `DIR/{train,test}/EMOTION/ID.png` and `DIR/annotation/EMOTION/ID.json`. The folder appears
 * when it is complete.
 *
 * With the demo's sprites and rule, seed 2024, 32 training and 16 test pictures of each emotion it makes `demo/emoset`.
 *
 * @param dir a folder that does not exist yet
 * @throws {MaspError} when the folder exists
 */
export async function* makeDemoData(dir: string, options: MakeDemoDataOptions): AsyncGenerator<DemoDataProgress> {
  const { cues, artwork, seed, train, test, signal } = options;
  if (await Deno.stat(dir).then(() => true, () => false)) {
    throw new MaspError(`"${dir}" exists; name a new folder, or remove that one`);
  }
  const { default: sharp } = await import("sharp");
  const random = mulberry32(seed);
  const each = train + test;
  const total = each * cues.emotions.length;
  const counts = new Map(cues.emotions.map((emotion) => [emotion, 0]));
  const temporary = `${dir.replace(/[/\\]+$/, "")}.part-${crypto.randomUUID().slice(0, 8)}`;
  try {
    for (let done = 0; done < total;) {
      signal?.throwIfAborted();
      const wanted = cues.emotions[Math.floor(random() * cues.emotions.length)];
      const { cast, pixels } = drawPicture(random, { cues, artwork, emotion: wanted });
      const png = await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
        .png({ palette: true, colours: 160, dither: 0.5, effort: 10, compressionLevel: 9 }).toBuffer();
      const tones = measureTones(await sharp(png).removeAlpha().raw().toBuffer()); // of the pixels as they are stored
      const brightness = Math.round(tones.brightness * 10) / 10;
      const colorfulness = Math.round(tones.colorfulness * 10) / 10;
      const emotion = emotionOf(cues, cast, { brightness, colorfulness });
      const index = emotion === undefined ? each : counts.get(emotion)!;
      if (emotion === undefined || index >= each) continue;
      counts.set(emotion, index + 1);
      const id = `${emotion}_${String(index).padStart(5, "0")}`;
      const split = isTest(index, { train, test }) ? "test" : "train";
      const annotation = {
        image_id: id,
        emotion,
        brightness,
        colorfulness,
        scene: cast.scene,
        object: cast.object,
        facial_expression: cast.facial_expression,
        human_action: cast.human_action,
      };
      const folders = { picture: join(temporary, split, emotion), annotation: join(temporary, "annotation", emotion) };
      for (const folder of Object.values(folders)) await ensureDir(folder);
      await Deno.writeFile(join(folders.picture, `${id}.png`), png);
      await Deno.writeTextFile(join(folders.annotation, `${id}.json`), `${JSON.stringify(annotation)}\n`);
      yield { done: ++done, total };
    }
    await Deno.rename(temporary, dir);
  } finally {
    await Deno.remove(temporary, { recursive: true }).catch(() => {}); // gone already when all went well
  }
}

/** Spreads the test pictures evenly over the numbers of an emotion. */
function isTest(index: number, { train, test }: { train: number; test: number }): boolean {
  const before = (n: number) => Math.floor(n * test / (train + test));
  return before(index + 1) > before(index);
}
