import { dirname, fromFileUrl, join } from "@std/path";

/** Path of a file or folder of the project. */
export function projectPath(path: string): string {
  return fromFileUrl(new URL(`../../../${path}`, import.meta.url));
}

/** Runs a test in a new folder with these files (path → content) and removes it afterwards. */
export async function withFolder(files: Record<string, string>, test: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "masp_data_" });
  try {
    for (const [path, content] of Object.entries(files)) {
      await Deno.mkdir(dirname(join(root, path)), { recursive: true });
      await Deno.writeTextFile(join(root, path), content);
    }
    await test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** A sample of `cases.json`. */
export interface GoldenSample {
  image: string;
  task: string;
  text: string;
  label: string;
}

/** What `cases.json` says about samples. */
export interface GoldenSamples {
  stage1: { samples: GoldenSample[]; views: string[] };
  stage2: { train: GoldenSample[]; test: GoldenSample[] };
}

/** Reads the golden samples. */
export async function goldenSamples(): Promise<GoldenSamples> {
  return JSON.parse(await Deno.readTextFile(projectPath("tests/golden/cases.json")));
}
