import { dirname, fromFileUrl, join } from "@std/path";

/** A folder for one test, removed when disposed of. */
export function temporaryFolder(): { path: string; file(name: string): string; [Symbol.dispose](): void } {
  const path = Deno.makeTempDirSync({ prefix: "masp_checkpoint_" });
  return {
    path,
    file: (name) => join(path, name),
    [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }),
  };
}

/** The project's folder. */
export const PROJECT: string = join(dirname(fromFileUrl(import.meta.url)), "..", "..", "..");

/** A file that PyTorch has made; see files/torch_values.py. */
export function torchMade(name: string): string {
  return join(dirname(fromFileUrl(import.meta.url)), "files", name);
}

/** Random numbers in [0, 1) that are the same in every run. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The names in a folder, sorted. */
export function namesIn(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}
