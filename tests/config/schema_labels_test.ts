import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { loadSettings, SettingsError, settingsYaml, type Stage } from "../../config/schema.ts";
import { withFolder } from "../pipeline/data/support.ts";

const TEXT = "common: {model_name: m}\nstage1: {aspect_data_path: d}\nstage2: {train_data_path: d}\neval: {test_data_path: d}\n";

async function withSettings(text: string, test: (path: string) => Promise<void>): Promise<void> {
  await withFolder({ "settings.yaml": text }, (root) => test(join(root, "settings.yaml")));
}

Deno.test("loadSettings: an unknown data set is a fault in the stages that ask for emotions", async () => {
  await withSettings(TEXT, async (path) => {
    for (const stage of ["stage2", "eval"] as const) {
      const error = await assertRejects(() => loadSettings(path, { stage, overrides: { dataname: "EmoSett" } }), SettingsError);
      assertEquals(error.faults.length, 1);
      for (const part of ["EmoSett", "did you mean EmoSet?", "Instagram", "--categories"]) assertStringIncludes(error.message, part);
      assertEquals((await loadSettings(path, { stage, overrides: { dataname: "emotion6" } })).categories.length, 6);
      await assertRejects(() => loadSettings(path, { stage }), SettingsError, "dataname is missing");
    }
    await loadSettings(path, { stage: "stage1" });
  });
  await withSettings(TEXT.replace("{model_name: m}", "{model_name: m, dataname: pets}"), async (path) => {
    await loadSettings(path, { stage: "stage1" });
  });
});

Deno.test("loadSettings: categories of one's own, as a list or a flag, with any name or none", async () => {
  await withSettings(TEXT.replace("{model_name: m}", "{model_name: m, categories: [Cat, dog ]}"), async (path) => {
    const one = await loadSettings(path, { stage: "stage2" });
    assertEquals([one.dataname, one.categories], ["own categories", ["cat", "dog"]]);
    const last = await loadSettings(path, { stage: "eval", overrides: { dataname: "pets", categories: "cat, dog,Bird" } });
    assertEquals([last.dataname, last.categories], ["pets", ["cat", "dog", "bird"]]);
    await Deno.writeTextFile(path, settingsYaml(last));
    assertEquals((await loadSettings(path, { stage: "eval" })).categories, last.categories);
    for (const [categories, fault] of [["cat", "at least two names"], ["cat,Cat", "names that differ"]]) {
      await assertRejects(() => loadSettings(path, { stage: "eval", overrides: { categories } }), SettingsError, fault);
    }
  });
});

Deno.test("loadSettings: a feature cache of none is none, and stays so", async () => {
  await withSettings(TEXT.replace("{model_name: m}", "{model_name: m, dataname: FI, feature_cache: none}"), async (path) => {
    for (const stage of ["stage1", "stage2", "eval"] as Stage[]) {
      const settings = await loadSettings(path, { stage });
      assertEquals([settings.featureCache, settings.values.feature_cache], [undefined, "none"]);
      assert(!settings.notices.some((line) => line.includes("features")));
    }
  });
});
