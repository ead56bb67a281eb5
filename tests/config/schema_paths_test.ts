import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { loadSettings } from "../../config/schema.ts";
import { projectPath, withFolder } from "../pipeline/data/support.ts";

/** The paths of the reference's file, in which the stages do not agree. */
const REFERENCE = (root: string) => `
common: {model_name: m, prompt_json_path: ${root}/config/prompts/prompts.json}
stage1: {aspect_data_path: d, output_dir: ${root}/stage2_train, output_path: ${root}/stage2_train/aspect.pth}
stage2:
  train_data_path: d
  dataname: FI
  ckpt_path: ${root}/stage1_train/aspect.pth
  output_dir: ${root}/stage2_train
  output_path: ${root}/stage2_train/soft_prompt.pt
`;

async function withSettings(files: Record<string, string>, test: (path: string, root: string) => Promise<void>): Promise<void> {
  await withFolder(files, async (root) => {
    await Deno.writeTextFile(join(root, "train.yaml"), REFERENCE(root));
    await test(join(root, "train.yaml"), root);
  });
}

Deno.test("loadSettings: stages that share a folder in the file are kept apart", async () => {
  await withSettings({}, async (path, root) => {
    const one = await loadSettings(path, { stage: "stage1" });
    const two = await loadSettings(path, { stage: "stage2" });
    assertEquals([one.outputDir, one.outputPath], [join(root, "stage2_train/stage1"), `${root}/stage2_train/aspect.pth`]);
    assertEquals([two.outputDir, two.outputPath], [join(root, "stage2_train/stage2"), `${root}/stage2_train/soft_prompt.pt`]);
    assertEquals(one.notices.filter((line) => line.includes("Both stages have the output_dir")).length, 1);
  });
});

Deno.test("loadSettings: stage 2 finds what stage 1 of the file wrote where ckpt_path leads nowhere", async () => {
  await withSettings({}, async (path, root) => {
    assertEquals((await loadSettings(path, { stage: "stage2" })).aspectPath, `${root}/stage1_train/aspect.pth`);
  });
  await withSettings({ "stage2_train/aspect.pth": "" }, async (path, root) => {
    const { aspectPath, notices } = await loadSettings(path, { stage: "stage2" });
    assertEquals(aspectPath, `${root}/stage2_train/aspect.pth`);
    assertEquals(notices.filter((line) => line.includes(`There is no "${root}/stage1_train/aspect.pth"`)).length, 1);
  });
  await withSettings({ "stage2_train/aspect.pth": "", "stage1_train/aspect.pth": "" }, async (path, root) => {
    assertEquals((await loadSettings(path, { stage: "stage2" })).aspectPath, `${root}/stage1_train/aspect.pth`);
  });
});

Deno.test("loadSettings: the reference's place of the questions falls back to the project's own", async () => {
  await withSettings({}, async (path) => {
    const { promptsPath, notices } = await loadSettings(path, { stage: "stage1" });
    assertEquals(promptsPath, projectPath("config/prompts.json"));
    assertEquals(notices.some((line) => line.includes("own questions")), true);
  });
  await withSettings({ "config/prompts/prompts.json": "{}" }, async (path, root) => {
    assertEquals((await loadSettings(path, { stage: "stage1" })).promptsPath, `${root}/config/prompts/prompts.json`);
  });
});

Deno.test("loadSettings: another output_dir takes the output file along; output_path goes before", async () => {
  await withSettings({}, async (path) => {
    const load = (overrides: Record<string, string>) => loadSettings(path, { stage: "stage1", overrides });
    const moved = await load({ "output-dir": "elsewhere" });
    assertEquals([moved.outputDir, moved.outputPath], ["elsewhere", join("elsewhere", "aspect.pth")]);
    const both = await load({ output_dir: "elsewhere", output_path: "a.safetensors" });
    assertEquals([both.outputDir, both.outputPath], ["elsewhere", "a.safetensors"]);
  });
});

Deno.test("loadSettings: an evaluation reads what the stages of its file write", async () => {
  const yaml = `
common: {model_name: m, dataname: FI}
stage1: {aspect_data_path: d, output_dir: run/one}
stage2: {train_data_path: d, output_path: run/two.pt}
eval: {test_data_path: t}
`;
  await withFolder({ "all.yaml": yaml }, async (root) => {
    const settings = await loadSettings(join(root, "all.yaml"), { stage: "eval" });
    assertEquals([settings.aspectPath, settings.softPromptPath], [join("run/one/aspect.safetensors"), "run/two.pt"]);
    assertEquals((await loadSettings(join(root, "all.yaml"), { stage: "stage2" })).aspectPath, join("run/one/aspect.safetensors"));
  });
});
