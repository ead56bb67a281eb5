/** Runs tasks as users do: the command lines of deno.json, in a process of their own, in a project folder of their own. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { copy } from "@std/fs";
import { fromFileUrl, join } from "@std/path";
import { stringify } from "@std/yaml";

/** The project's folder. */
const PROJECT = fromFileUrl(new URL("../../", import.meta.url));
const GOLDEN = join(PROJECT, "tests", "golden");

/** What a task left. */
export interface Outcome {
  /** Exit status. */
  code: number;
  /** What it printed. */
  stdout: string;
  /** What it complained of. */
  stderr: string;
}

/** A task's command line from deno.json: program and arguments. */
async function commandLine(task: string): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(PROJECT, "deno.json")));
  const [program, ...args] = tasks[task].command.split(" ");
  assertEquals(program, "deno");
  return args.map((arg: string) => arg.startsWith("tasks/") ? join(PROJECT, arg) : arg);
}

/** Options of {@linkcode runTask}. */
export interface RunTaskOptions {
  /** Folder that relative paths are seen from. */
  cwd?: string;
  /** Environment variables beside those that are there. */
  env?: Record<string, string>;
}

/** Runs a task with arguments. */
export async function runTask(task: string, args: readonly string[], options: RunTaskOptions = {}): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...await commandLine(task), ...args],
    cwd: options.cwd ?? PROJECT,
    env: { NO_COLOR: "1", ...options.env },
  }).output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

/** A folder with the golden model, pictures, questions and trained files, and settings that use them. */
export interface Workplace extends AsyncDisposable {
  /** The folder. */
  readonly path: string;
  /** The settings file. */
  readonly config: string;
  /** A path in the folder. */
  file(...names: string[]): string;
  /**
   * Runs a task that must fail: with status 1, one message that has no stack trace and matches all patterns, and no file of the output folder
   * touched.
   *
   * @returns the message
   */
  fails(task: string, args: readonly string[], options: RunTaskOptions & { says: readonly RegExp[] }): Promise<string>;
}

/** Makes a workplace with earlier results in its output folder. It is removed when disposed of. */
export async function workplace(): Promise<Workplace> {
  const path = await Deno.makeTempDir({ prefix: "masp_tasks_" });
  const file = (...names: string[]) => join(path, ...names);
  for (const name of ["model", "emoset", "prompts.json", "aspect.pth", "soft_prompt.pt"]) await copy(join(GOLDEN, name), file(name));
  const config = file("settings.yaml");
  const settings = {
    common: { model_name: file("model"), prompt_json_path: file("prompts.json"), dataname: "EmoSet", seed: 1, output_dir: file("outputs") },
    stage1: { aspect_data_path: file("emoset"), num_train_epochs: 1 },
    stage2: { train_data_path: file("emoset"), ckpt_path: file("aspect.pth"), num_train_epochs: 1 },
    eval: { test_data_path: file("emoset"), ckpt_path: file("aspect.pth"), soft_prompt_path: file("soft_prompt.pt") },
  };
  await Deno.writeTextFile(config, stringify(settings));
  for (const name of ["aspect.safetensors", "soft_prompt.safetensors", "evaluation.json", "metrics.jsonl", "settings.yaml"]) {
    await Deno.mkdir(file("outputs"), { recursive: true });
    await Deno.writeTextFile(file("outputs", name), `earlier ${name}`);
  }
  const earlier = await contents(file("outputs"));
  return {
    path,
    config,
    file,
    fails: async (task, args, { says, ...options }) => {
      const { code, stderr } = await runTask(task, [...args], options);
      const message = stderr.trim();
      assertEquals(code, 1, `${task} ${args.join(" ")}: ${message || "no message"}`);
      for (const pattern of says) assertMatch(message, pattern);
      assert(!/^\s+at .+:\d+/m.test(message), `a stack trace: ${message}`);
      assert(!/Uncaught|error: /.test(message), `not a message for users: ${message}`);
      assertEquals(await contents(file("outputs")), earlier, "earlier results changed");
      return message;
    },
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** Every file below a folder with its bytes. */
async function contents(dir: string): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (isDirectory) { for (const [inner, text] of Object.entries(await contents(join(dir, name)))) result[`${name}/${inner}`] = text; }
    else result[name] = await Deno.readTextFile(join(dir, name));
  }
  return result;
}
