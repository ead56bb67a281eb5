import { assert, assertEquals, assertRejects } from "@std/assert";
import { parseArgs } from "@std/cli";
import { join } from "@std/path";
import { findModelFolder } from "../../config/find_model_folder.ts";
import { editDistance, nearestName } from "../../config/nearest_name.ts";
import { settingFlags, settingOverrides } from "../../config/schema_flags.ts";
import { KEYS } from "../../config/schema_keys.ts";
import type { Stage } from "../../config/schema.ts";
import { MaspError } from "../../pipeline/errors.ts";
import { withFolder } from "../pipeline/data/support.ts";

const overridesOf = (args: string[], stage: Stage = "stage1") => settingOverrides(parseArgs(args, { ...settingFlags(stage) }), stage);

Deno.test("settingOverrides: only what was given, both spellings, switches on and off", () => {
  assertEquals(overridesOf([]), {});
  assertEquals(overridesOf(["--learning-rate", "1e-3", "--seed=4"]), { "learning-rate": "1e-3", seed: "4" });
  assertEquals(overridesOf(["--learning_rate", "1e-3"]), { learning_rate: "1e-3" });
  assertEquals(overridesOf(["--VIEW_NAMES", "scene,object"]), { VIEW_NAMES: "scene,object" });
  assertEquals(overridesOf(["--skip-bad-images"]), { "skip-bad-images": "true" });
  assertEquals(overridesOf(["--no-gradient-checkpointing"]), { "gradient-checkpointing": "false" });
  assertEquals(overridesOf(["--soft-prompt-path", "a.pt"], "eval"), { "soft-prompt-path": "a.pt" });
});

Deno.test("settingFlags: every key of a stage is a flag of one kind", () => {
  for (const stage of ["stage1", "stage2", "eval"] as const) {
    const { string, boolean } = settingFlags(stage);
    assertEquals(string.filter((name) => boolean.includes(name)), []);
    for (const [key, { stages }] of Object.entries(KEYS)) {
      if ((stages as readonly Stage[]).includes(stage)) assert(string.includes(key) || boolean.includes(key), key);
    }
  }
  assertEquals(settingFlags("eval").string.includes("learning-rate"), false);
});

Deno.test("editDistance: insertions, deletions, replacements, exchanged neighbours", () => {
  for (const [a, b, distance] of [["", "", 0], ["", "abc", 3], ["kitten", "sitting", 3], ["seed", "sede", 1], ["abc", "abc", 0]] as const) {
    assertEquals([editDistance(a, b), editDistance(b, a)], [distance, distance], `${a} ${b}`);
  }
  assertEquals(nearestName("Weight-Decy", ["warmup_ratio", "weight_decay"]), "weight_decay");
});

Deno.test("findModelFolder: what Hugging Face's programs have in their cache; otherwise how to get it", async () => {
  const repo = "hub/models--Qwen--Small-VL";
  await withFolder({ [`${repo}/refs/main`]: "0123abcd\n", [`${repo}/snapshots/0123abcd/config.json`]: "{}" }, async (root) => {
    const before = Deno.env.get("HF_HUB_CACHE");
    Deno.env.set("HF_HUB_CACHE", join(root, "hub"));
    try {
      assertEquals(await findModelFolder("Qwen/Small-VL"), join(root, repo, "snapshots", "0123abcd"));
      await assertRejects(() => findModelFolder("Qwen/Other"), MaspError, "deno task download Qwen/Other makes the latter");
    } finally {
      if (before === undefined) Deno.env.delete("HF_HUB_CACHE");
      else Deno.env.set("HF_HUB_CACHE", before);
    }
  });
});

Deno.test("findModelFolder: the folder itself, or the last part of the name in weights/", async () => {
  const before = Deno.cwd();
  await withFolder({ "weights/Small-VL/config.json": "{}", "own/config.json": "{}" }, async (root) => {
    Deno.chdir(root);
    try {
      assertEquals(await findModelFolder("own"), "own");
      assertEquals(await findModelFolder("Qwen/Small-VL"), join("weights", "Small-VL"));
      await assertRejects(() => findModelFolder("Qwen/Other"), MaspError, 'no "weights/Other"');
    } finally {
      Deno.chdir(before);
    }
  });
});
