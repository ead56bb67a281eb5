import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { aspectLabel, parseAnnotation, readAnnotation } from "../../../pipeline/data/annotation.ts";
import { categoriesOf, SENTIMENT } from "../../../pipeline/data/categories.ts";
import { MaspError } from "../../../pipeline/errors.ts";
import { projectPath, withFolder } from "./support.ts";

const label = (values: unknown, view: string) => aspectLabel(parseAnnotation(JSON.stringify(values), "a.json"), view);

Deno.test("aspectLabel: five levels with the edges as written", () => {
  const expected: [number, string][] = [
    [0, "very low"],
    [0.1, "very low"],
    [0.19999999999999998, "very low"],
    [0.2, "low"],
    [0.3, "low"],
    [0.4, "moderate"],
    [0.5, "moderate"],
    [0.6, "high"],
    [0.7, "high"],
    [0.7999999999999999, "high"],
    [0.8, "very high"],
    [1, "very high"],
  ];
  for (const view of ["brightness", "colorfulness"]) {
    for (const [value, level] of expected) assertEquals(label({ [view]: value }, view), level, `${view} ${value}`);
  }
});

Deno.test("aspectLabel: lists, underscores, slashes, case", () => {
  assertEquals(label({ object: ["Human face", "Christmas_tree"] }, "object"), "human face, christmas tree");
  assertEquals(label({ scene: "basketball_court/outdoor" }, "scene"), "basketball court/outdoor");
  assertEquals(label({ facial_expression: "Happy" }, "facial_expression"), "happy");
});

Deno.test("aspectLabel: absent, null and empty are no label", () => {
  for (const values of [{}, { scene: null }, { scene: "" }, { scene: [] }, { scene: [" "] }]) {
    assertEquals(label(values, "scene"), undefined);
  }
  assertEquals(label({}, "toString"), undefined);
});

Deno.test("aspectLabel: a view of one's own reads the key of its name", () => {
  assertEquals(label({ art_style: "Oil_painting" }, "art_style"), "oil painting");
  assertEquals(label({ people: 3 }, "people"), "3");
  const error = assertThrows(() => label({ people: { n: 3 } }, "people"), MaspError);
  assertStringIncludes(error.message, `a.json`);
  assertStringIncludes(error.message, `people is {"n":3}, expected a text, a number or a list of texts`);
});

Deno.test("parseAnnotation: names file, value and expectation of everything that is wrong", () => {
  const bad: [string, string][] = [
    ['{"brightness": 7}', "brightness is 7, expected a number from 0 to 1"],
    ['{"colorfulness": -0.1}', "colorfulness is -0.1, expected a number from 0 to 1"],
    ['{"brightness": "0.5"}', 'brightness is "0.5", expected a number from 0 to 1'],
    ['{"scene": 4}', "scene is 4, expected a text or a list of texts"],
    ['{"object": ["cat", 3]}', 'object is ["cat",3], expected a text or a list of texts'],
    ['{"emotion": ["awe"]}', 'emotion is ["awe"], expected a text'],
    ["[1, 2]", "it is [1,2], expected a JSON object"],
    ["null", "it is null, expected a JSON object"],
    ['{"brightness": 0.5', "is no JSON"],
    ["", "is no JSON"],
    ['{"brightness": NaN}', "is no JSON"],
  ];
  for (const [text, message] of bad) {
    const error = assertThrows(() => parseAnnotation(text, "folder/x.json"), MaspError);
    assertStringIncludes(error.message, 'Annotation "folder/x.json"');
    assertStringIncludes(error.message, message);
  }
  const both = assertThrows(() => parseAnnotation('{"brightness": 7, "colorfulness": 8}', "x"), MaspError);
  assertStringIncludes(both.message, "brightness is 7");
  assertStringIncludes(both.message, "colorfulness is 8");
});

Deno.test("readAnnotation: reads a golden file; says when there is none", async () => {
  const path = projectPath("tests/golden/emoset/annotation/amusement/amusement_00001.json");
  const annotation = await readAnnotation(path);
  assertEquals(annotation.emotion, "amusement");
  assertEquals(aspectLabel(annotation, "scene"), "city street");
  await withFolder({}, async (root) => {
    await assertRejects(() => readAnnotation(`${root}/gone.json`), MaspError, "gone.json");
  });
});

Deno.test("categoriesOf: the reference's lists, names in any case", () => {
  assertEquals([...categoriesOf("Emotion6")], ["sadness", "fear", "surprise", "anger", "joy", "disgust"]);
  assertEquals([...categoriesOf("ARTPHOTO")], ["sad", "amusement", "fear", "disgust", "excitement", "awe", "content", "anger"]);
  assertEquals(categoriesOf("abstract"), categoriesOf("ArtPhoto"));
  assertEquals([...categoriesOf("flickr")], ["positive", "negative"]);
  assertEquals(categoriesOf("Instagram"), categoriesOf("Flickr"));
  assertEquals([...categoriesOf("emoset")], ["sadness", "amusement", "fear", "disgust", "excitement", "awe", "contentment", "anger"]);
  assertEquals(categoriesOf("FI"), categoriesOf("EmoSet"));
  for (const name of ["emotion-6", "Emotion 6", " EMOTION6 "]) assertEquals(categoriesOf(name), categoriesOf("Emotion6"));
  assertEquals(categoriesOf("EmoSet-118K"), categoriesOf("EmoSet"));
});

Deno.test("categoriesOf: an unknown name is an error that names the known ones and the nearest", () => {
  for (const [name, nearest] of [["EmoSett", "EmoSet"], ["Emotion", "Emotion6"], ["art_foto", "ArtPhoto"]]) {
    const { message } = assertThrows(() => categoriesOf(name), MaspError);
    assertStringIncludes(message, `"${name}" (dataname); did you mean ${nearest}?`);
  }
  for (const name of ["constructor", "", "pets"]) {
    const { message } = assertThrows(() => categoriesOf(name), MaspError, "EmoSet, FI, Emotion6, Abstract, ArtPhoto, Flickr, Instagram");
    assert(!message.includes("did you mean"), message);
    assertStringIncludes(message, "--categories");
  }
});

Deno.test("SENTIMENT: known for every category but surprise", () => {
  const names = ["Emotion6", "Abstract", "Flickr", "EmoSet"].flatMap((name) => [...categoriesOf(name)]);
  assertEquals([...new Set(names.filter((name) => SENTIMENT[name] === undefined))], ["surprise"]);
  assertEquals(categoriesOf("EmoSet").filter((name) => SENTIMENT[name] === "positive").length, 4);
});
