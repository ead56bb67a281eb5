import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { loadExamples } from "../../../pipeline/data/examples.ts";
import { emotionOf, loadCues } from "../../../pipeline/demo_data/cues.ts";
import { makeDemoData } from "../../../pipeline/demo_data/make_demo_data.ts";
import { measureTones, SIDE } from "../../../pipeline/demo_data/paint.ts";
import { loadSprites } from "../../../pipeline/demo_data/sprites.ts";
import { MaspError } from "../../../pipeline/errors.ts";

const demo = new URL("../../../demo/", import.meta.url).pathname;
const cues = await loadCues(join(demo, "recipe/cues.json"));
const artwork = await loadSprites(join(demo, "sprites"));

async function make(dir: string, options: { seed: number; train: number; test: number }) {
  let done = 0;
  for await (const progress of makeDemoData(dir, { cues, artwork, ...options })) done = progress.done;
  return done;
}

Deno.test("the embedded pictures come from the rule: the first ones are drawn again, with the same annotations", async () => {
  const dir = await Deno.makeTempDir();
  const out = join(dir, "set");
  // The whole set takes a minute; the folder is kept only when complete, so its first pictures are looked at on the way.
  let compared = 0;
  for await (const { done } of makeDemoData(out, { cues, artwork, seed: 2024, train: 32, test: 16 })) {
    if (done < 8) continue;
    const [part] = [...Deno.readDirSync(dir)].map(({ name }) => join(dir, name));
    for (const { name: emotion } of Deno.readDirSync(join(part, "annotation"))) {
      for (const { name } of Deno.readDirSync(join(part, "annotation", emotion))) {
        const at = (root: string) => Deno.readTextFileSync(join(root, "annotation", emotion, name));
        assertEquals(at(part), at(join(demo, "emoset")));
        const picture = name.replace(".json", ".png");
        const split = exists(join(part, "train", emotion, picture)) ? "train" : "test";
        const [here, there] = await Promise.all([part, join(demo, "emoset")].map((root) => pixels(join(root, split, emotion, picture))));
        const difference = here.reduce((sum, value, i) => sum + Math.abs(value - there[i]), 0) / here.length;
        assert(difference < 1, `${picture} differs by ${difference} on average`);
        compared++;
      }
    }
    break;
  }
  assertEquals(compared, 8);
  assertEquals([...Deno.readDirSync(dir)], [], "what is not complete is removed");
  await Deno.remove(dir, { recursive: true });
});

Deno.test("a set has its share of every emotion, true annotations, and is the same for the same seed", async () => {
  const dir = await Deno.makeTempDir();
  for (const name of ["a", "b"]) assertEquals(await make(join(dir, name), { seed: 5, train: 2, test: 1 }), 24);
  const files = (root: string) => [...walk(join(dir, root))].sort();
  assertEquals(files("a"), files("b"));
  for (const file of files("a")) assertEquals(await Deno.readFile(join(dir, "a", file)), await Deno.readFile(join(dir, "b", file)));
  const train = await loadExamples(join(dir, "a"), { split: "train" });
  const test = await loadExamples(join(dir, "a"), { split: "test" });
  assertEquals([train.length, test.length], [16, 8]);
  for (const { image, label } of [...train, ...test]) {
    const annotation = JSON.parse(await Deno.readTextFile(image.replace(/(train|test)(.*)\.png$/, "annotation$2.json")));
    const tones = measureTones(await pixels(image));
    assert(Math.abs(tones.brightness - annotation.brightness) <= 0.05 + 1e-9);
    assert(Math.abs(tones.colorfulness - annotation.colorfulness) <= 0.05 + 1e-9);
    assertEquals(emotionOf(cues, annotation, annotation), label);
  }
  await assertRejects(() => make(join(dir, "a"), { seed: 5, train: 1, test: 1 }), MaspError, "exists");
  await Deno.remove(dir, { recursive: true });
});

Deno.test("an emotion wins alone and by two views, or not at all", () => {
  const tones = { brightness: 0.5, colorfulness: 0.1 }; // anger, disgust; sadness, disgust
  assertEquals(emotionOf(cues, { object: [] }, tones), "disgust");
  const [angry] = Object.keys(cues.object).filter((name) => cues.object[name].emotions.includes("anger"));
  assertEquals(emotionOf({ ...cues, object: { [angry]: { emotions: ["anger"] } } }, { object: [angry] }, tones), undefined, "a tie");
});

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function pixels(path: string): Promise<Uint8Array> {
  const { default: sharp } = await import("sharp");
  const { data, info } = await sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  assertEquals([info.width, info.height], [SIDE, SIDE]);
  return data;
}

function* walk(root: string, below = ""): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(join(root, below))) {
    if (isDirectory) yield* walk(root, join(below, name));
    else yield join(below, name);
  }
}
