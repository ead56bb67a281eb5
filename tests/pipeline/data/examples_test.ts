import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { basename, join, relative } from "@std/path";
import { abstractExamples } from "../../../pipeline/data/abstract.ts";
import { categoriesOf } from "../../../pipeline/data/categories.ts";
import { emotion6Examples } from "../../../pipeline/data/emotion6.ts";
import { loadExamples } from "../../../pipeline/data/examples.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { goldenSamples, projectPath, withFolder } from "./support.ts";

Deno.test("loadExamples: golden EmoSet in the reference's order", async () => {
  const { stage2 } = await goldenSamples();
  for (const split of ["train", "test"] as const) {
    const examples = await loadExamples(projectPath("tests/golden/emoset"), { split, dataname: "EmoSet" });
    const found = examples.map(({ image, label }) => ({ image: relative(projectPath("tests/golden"), image), label }));
    assertEquals(found, stage2[split].map(({ image, label }) => ({ image, label })));
    for (const { id, label, annotation } of examples) {
      assertEquals(annotation, projectPath(`tests/golden/emoset/annotation/${label}/${id}.json`));
    }
  }
});

Deno.test("loadExamples: the split's own folder works as the root", async () => {
  const root = projectPath("tests/golden/emoset");
  const expected = await loadExamples(root, { split: "train" });
  assertEquals(await loadExamples(join(root, "train"), { split: "train" }), expected);
  assertEquals(await loadExamples(join(root, "train/"), { split: "train" }), expected);
});

Deno.test("loadExamples: demo data; limit keeps every class", async () => {
  const root = projectPath("demo/emoset");
  assertEquals((await loadExamples(root, { split: "train" })).length, 256);
  const few = await loadExamples(root, { split: "test", dataname: "emoset", limit: 8 });
  assertEquals(few.length, 8);
  assertEquals(new Set(few.map(({ label }) => label)).size, 8);
});

Deno.test("loadExamples: folder data set without annotations; other files and case of names", async () => {
  const files = { "test/Joy/b.JPG": "", "test/Joy/a.png": "", "test/Joy/notes.txt": "", "test/Joy/._a.png": "", "test/fear/c.webp": "" };
  await withFolder({ ...files, "train/joy/x.png": "" }, async (root) => {
    assertEquals(await loadExamples(root, { split: "test", dataname: "Emotion6" }), [
      { image: join(root, "test/Joy/a.png"), id: "a", label: "joy" },
      { image: join(root, "test/Joy/b.JPG"), id: "b", label: "joy" },
      { image: join(root, "test/fear/c.webp"), id: "c", label: "fear" },
    ]);
  });
});

Deno.test("loadExamples: the annotation's emotion goes before the folder's name", async () => {
  await withFolder({ "train/one/a.png": "", "train/one/b.png": "", "annotation/one/a.json": '{"emotion": "Awe"}' }, async (root) => {
    assertEquals((await loadExamples(root, { split: "train" })).map(({ label }) => label), ["awe", "one"]);
  });
});

Deno.test("loadExamples: EmoSet as published, four and three columns", async () => {
  const files = { "image/awe/awe_2.jpg": "", "image/fear/fear_1.jpg": "", "annotation/awe/awe_2.json": '{"emotion": "awe"}' };
  const rows = {
    four: [["awe", "awe_2", "image/awe/awe_2.jpg", "annotation/awe/awe_2.json"], [
      "fear",
      1,
      "image/fear/fear_1.jpg",
      "annotation/fear/fear_1.json",
    ]],
    three: [["awe", "image/awe/awe_2.jpg", "annotation/awe/awe_2.json"], ["fear", "image/fear/fear_1.jpg", "annotation/fear/fear_1.json"]],
  };
  for (const list of Object.values(rows)) {
    await withFolder({ ...files, "val.json": JSON.stringify(list) }, async (root) => {
      assertEquals(await loadExamples(root, { split: "val", dataname: "EmoSet" }), [
        { image: join(root, "image/awe/awe_2.jpg"), id: "awe_2", label: "awe", annotation: join(root, "annotation/awe/awe_2.json") },
        { image: join(root, "image/fear/fear_1.jpg"), id: "fear_1", label: "fear" },
      ]);
    });
  }
});

Deno.test("loadExamples: a split file that is wrong, or names missing pictures", async () => {
  const bad: [string, string][] = [
    ["{", "is no JSON"],
    ['{"a": 1}', "expected a list of rows"],
    ['["awe"]', "expected a row [label"],
    ['[["awe", "awe_1"]]', "row 0: found"],
    ["[]", "no train pictures"],
    ['[["awe", "image/awe/gone.jpg", "x.json"]]', "1 of 1 pictures are missing"],
  ];
  for (const [text, message] of bad) {
    await withFolder({ "train.json": text }, async (root) => {
      await assertRejects(() => loadExamples(root, { split: "train" }), MaspError, message);
    });
  }
});

const EMOTION6 = ["[image_filename]", "[valence]", "[arousal]"];
const probabilities = (names: string) => names.split(" ").map((name) => `[prob. ${name}]`);

Deno.test("loadExamples: Emotion6 follows the header's order and leaves neutral out", async () => {
  const header = [...EMOTION6, ...probabilities("joy anger disgust fear sadness surprise neutral")].join("\t");
  const rows: [string, string][] = [
    ["joy/1.jpg\t5\t5\t0.2\t0.1\t0\t0\t0.1\t0\t0.6", "joy"],
    ["anger/1.jpg\t5\t5\t0.2\t0.3\t0\t0\t0.3\t0\t0.2", "anger"],
    ["fear/1.jpg\t5\t5\t0\t0\t0\t0\t0\t1\t0", "surprise"],
    ["fear/2.jpg\t5\t5\t0\t0\t0\t0\t0\t0\t1", ""],
  ];
  const pictures = Object.fromEntries(rows.map(([row]) => [`images/${row.split("\t")[0]}`, ""]));
  await withFolder({ ...pictures, "ground_truth.txt": [header, ...rows.map(([row]) => row)].join("\r\n") + "\r\n" }, async (root) => {
    assertEquals(await emotion6Examples(root), [
      { image: join(root, "images/anger/1.jpg"), id: "anger/1", label: "anger" },
      { image: join(root, "images/fear/1.jpg"), id: "fear/1", label: "surprise" },
      { image: join(root, "images/joy/1.jpg"), id: "joy/1", label: "joy" },
    ]);
    assertEquals((await loadExamples(root, { split: "train", dataname: "Emotion6" })).length, 3);
  });
});

Deno.test("loadExamples: Emotion6 without header, with a bad header and with a bad value", async () => {
  await withFolder({ "images/a.jpg": "", "ground_truth.txt": "a.jpg\t5\t5\t0\t0\t0.5\t0\t0\t0\t0.5\n" }, async (root) => {
    assertEquals((await emotion6Examples(root))?.map(({ label }) => label), ["fear"]);
  });
  const header = [...EMOTION6, ...probabilities("joy anger disgust fear sadness surprise neutral")].join("\t");
  const bad: [string, string][] = [
    [`${[...EMOTION6, ...probabilities("joy joy disgust fear sadness surprise neutral")].join("\t")}\n`, "expected file, valence, arousal"],
    [`${header}\na.jpg\t5\t5\t0\t0\tmuch\t0\t0\t0\t0\n`, 'line 2: the value for disgust is "much"'],
    [`${header}\na.jpg\t5\t5\t0\t0\n`, "the value for disgust is missing"],
    [`${header}\na.jpg\t5\t5\t0\t-1\t0\t0\t0\t0\t0\n`, 'the value for anger is "-1"'],
    [`${header}\ngone.jpg\t5\t5\t0\t1\t0\t0\t0\t0\t0\n`, "gone.jpg"],
    ["", "no train pictures"],
  ];
  for (const [text, message] of bad) {
    await withFolder({ "images/a.jpg": "", "ground_truth.txt": text }, async (root) => {
      await assertRejects(() => loadExamples(root, { split: "train" }), MaspError, message);
    });
  }
});

const ABSTRACT = "'','Amusement','Anger','Awe','Content','Disgust','Excitement','Fear','Sad'";

Deno.test("loadExamples: Abstract by most votes, quoted cells, pictures beside the table", async () => {
  const table = `${ABSTRACT}\n'abstract_2.jpg',0,1,5,0,0,5,0,0\n'abstract_1.jpg',0,0,0,3,0,0,0,4\n`;
  for (const folder of ["", "testImages_abstract/"]) {
    const files = { [`${folder}ABSTRACT_groundTruth.csv`]: table, [`${folder}abstract_1.jpg`]: "", [`${folder}abstract_2.jpg`]: "" };
    await withFolder(files, async (root) => {
      assertEquals((await abstractExamples(root))?.map(({ id, label }) => [id, label]), [["abstract_1", "sad"], ["abstract_2", "awe"]]);
      assertEquals((await loadExamples(root, { split: "train", dataname: "Abstract" })).length, 2);
    });
  }
  await withFolder({ "ABSTRACT_groundTruth.csv": ABSTRACT.replace(",'Sad'", "") }, async (root) => {
    await assertRejects(() => loadExamples(root, { split: "train" }), MaspError, "sad missing");
  });
  await withFolder({ "ABSTRACT_groundTruth.csv": `${ABSTRACT}\n'a.jpg',0,x,5,0,0,5,0,0` }, async (root) => {
    await assertRejects(() => loadExamples(root, { split: "train" }), MaspError, 'line 2: the value for anger is "x"');
  });
});

Deno.test("loadExamples: ArtPhoto's labels from file names; 80/20 in every class, always the same", async () => {
  const names = ["awe", "sad"].flatMap((label) => Array.from({ length: 10 }, (_, i) => `${label}_${String(i).padStart(4, "0")}.jpg`));
  await withFolder(Object.fromEntries(names.map((name) => [name, ""])), async (root) => {
    const train = await loadExamples(root, { split: "train", dataname: "ArtPhoto" });
    const test = await loadExamples(root, { split: "test", dataname: "ArtPhoto" });
    for (const label of ["awe", "sad"]) {
      assertEquals(train.filter((example) => example.label === label).length, 8);
      assertEquals(test.filter((example) => example.label === label).length, 2);
    }
    assertEquals([...train, ...test].map(({ image }) => basename(image)).toSorted(), names);
    assertEquals(train.map(({ image }) => image), train.map(({ image }) => image).toSorted());
    assert(train.some(({ id }) => id > "awe_0007" && id < "sad"), "the last pictures of a class are not simply the test part");
    assertEquals(await loadExamples(root, { split: "train", dataname: "ArtPhoto" }), train);
    await assertRejects(() => loadExamples(root, { split: "val" }), MaspError, "divided into train and test only");
  });
});

Deno.test("loadExamples: bad folders are told apart", async () => {
  await withFolder({ "train/joy/a.png": "", "empty/readme.txt": "", "flat/IMG_1.jpg": "" }, async (root) => {
    const missing = await assertRejects(() => loadExamples(join(root, "nowhere"), { split: "test" }), MaspError, "there is no such folder");
    assertStringIncludes(missing.message, join(root, "nowhere", "test"));
    await Deno.mkdir(join(root, "void/test"), { recursive: true });
    await Deno.mkdir(join(root, "hollow"));
    await assertRejects(() => loadExamples(join(root, "hollow"), { split: "test" }), MaspError, "the folder is empty");
    await assertRejects(() => loadExamples(join(root, "void"), { split: "test" }), MaspError, "no test pictures");
    await assertRejects(() => loadExamples(join(root, "empty"), { split: "test" }), MaspError, "it holds readme.txt and no test pictures");
    await assertRejects(() => loadExamples(root, { split: "test" }), MaspError, "train/");
    await assertRejects(() => loadExamples(join(root, "flat"), { split: "train" }), MaspError, `"img"`);
    for (const limit of [0, -1, 1.5]) {
      await assertRejects(() => loadExamples(root, { split: "train", limit }), MaspError, "expected a whole number of at least 1");
    }
  });
});

Deno.test("loadExamples: labels outside the categories are named with them", async () => {
  await withFolder({ "train/joy/a.png": "", "train/awe/b.png": "", "train/hunger/c.png": "" }, async (root) => {
    const error = await assertRejects(() => loadExamples(root, { split: "train", dataname: "EmoSet" }), MaspError);
    for (const part of ['"joy"', '"hunger"', "EmoSet", "contentment", join(root, "train/joy/a.png")]) {
      assertStringIncludes(error.message, part);
    }
    assertEquals((await loadExamples(root, { split: "train" })).length, 3);
  });
});

Deno.test("loadExamples: a bad annotation and a link that leads nowhere stop the loading", async () => {
  await withFolder({ "train/awe/a.png": "", "annotation/awe/a.json": '{"brightness": 7}' }, async (root) => {
    await assertRejects(() => loadExamples(root, { split: "train" }), MaspError, "brightness is 7");
    await Deno.symlink(join(root, "gone.png"), join(root, "train/awe/b.png"));
    await assertRejects(() => loadExamples(root, { split: "train" }), MaspError, "b.png");
  });
});

Deno.test("loadExamples: label folders without a split are divided, with a notice; a folder called test is taken whole", async () => {
  const names = ["awe", "fear"].flatMap((label) => Array.from({ length: 10 }, (_, i) => `mine/${label}/${i}.jpg`));
  await withFolder(Object.fromEntries(names.map((name) => [name, ""])), async (parent) => {
    const root = join(parent, "mine");
    const notices: string[] = [];
    const load = (split: "train" | "test" | "val") =>
      loadExamples(root, { split, dataname: "EmoSet", onNotice: (text) => notices.push(text) });
    const [train, test] = [await load("train"), await load("test")];
    assertEquals([train.length, test.length], [16, 4]);
    assertEquals(new Set([...train, ...test].map(({ image }) => image)).size, 20, "a picture is in both parts");
    assertEquals(notices.length, 2);
    for (const part of [root, "16 pictures", "other 4 for testing", join(root, "train"), join(root, "test")]) {
      assertStringIncludes(notices[0], part);
    }
    await assertRejects(() => load("val"), MaspError, "divided into train and test only");
    await Deno.mkdir(join(parent, "linked"));
    await Deno.symlink(root, join(parent, "linked", "test"));
    notices.length = 0;
    for (const path of [join(parent, "linked"), join(parent, "linked", "test"), join(parent, "linked", "test/")]) {
      assertEquals((await loadExamples(path, { split: "test", onNotice: (text) => notices.push(text) })).length, 20, path);
    }
    assertEquals(notices, []);
  });
  await withFolder({ "awe/a.png": "", "fear/b.png": "" }, async (root) => {
    await assertRejects(() => loadExamples(root, { split: "test" }), MaspError, "its 2 pictures are too few to be divided");
  });
});

Deno.test("loadExamples: categories of one's own", async () => {
  await withFolder({ "test/Cat/a.png": "", "test/dog/b.png": "" }, async (root) => {
    const labels = async (categories: string[]) =>
      (await loadExamples(root, { split: "test", dataname: "pets", categories })).map(({ label }) => label);
    assertEquals(await labels(["dog", "cat"]), ["cat", "dog"]);
    const known = { split: "test", dataname: "FI", categories: [...categoriesOf("FI")] } as const;
    await assertRejects(() => loadExamples(root, known), MaspError, "outside the categories of FI:");
    await assertRejects(() => labels(["cat", "bird"]), MaspError, 'outside the categories of the settings (categories): "dog"');
    await assertRejects(() => loadExamples(root, { split: "test", dataname: "pets" }), MaspError, 'There is no data set "pets"');
  });
});
