/** Runs tasks as users do: the command lines of deno.json, each in a process of its own, on files in a folder of its own. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { copy, ensureDir, walk } from "@std/fs";
import { dirname, fromFileUrl, join, relative } from "@std/path";
import { stringify } from "@std/yaml";

/** The project's folder. */
export const PROJECT: string = fromFileUrl(new URL("../../", import.meta.url));
/** The little model of the golden values, its pictures and what was trained with it. */
export const GOLDEN: string = join(PROJECT, "tests", "golden");

/** A task that runs longer hangs. */
const LONGEST = 90_000;

/** What a task left. */
export interface Outcome {
  /** Exit status. */
  code: number;
  /** What it printed. */
  stdout: string;
  /** What it complained of. */
  stderr: string;
}

/** Options of {@linkcode runTask}. */
export interface RunTaskOptions {
  /** Environment variables beside those that are there. */
  env?: Record<string, string>;
  /** A module that runs before the task, to put the machine into a state that it is not in. */
  preload?: string;
  /** The working folder; the project's when left out. */
  cwd?: string;
}

/** Runs a task with arguments, with the permissions that deno.json gives it. */
export async function runTask(task: string, args: readonly string[], options?: RunTaskOptions): Promise<Outcome> {
  return await (await startTask(task, args, options)).outcome;
}

/** A task that runs. */
export interface RunningTask {
  /** What it leaves at its end. */
  outcome: Promise<Outcome>;
  /** Does what Ctrl-C does, or sends another signal. */
  interrupt(signal?: Deno.Signal): void;
}

/** Starts a task; see {@linkcode runTask}. */
export async function startTask(task: string, args: readonly string[], options: RunTaskOptions = {}): Promise<RunningTask> {
  const { env, preload, cwd = PROJECT } = options;
  const { tasks } = JSON.parse(await Deno.readTextFile(join(PROJECT, "deno.json")));
  const [program, command, ...flags] = tasks[task].command.split(" ");
  assertEquals([program, command], ["deno", "run"]);
  const before = preload ? [`--preload=${preload}`] : [];
  const child = new Deno.Command(Deno.execPath(), {
    args: [command, "--quiet", ...before, ...flags.map((flag: string) => flag.endsWith(".ts") ? join(PROJECT, flag) : flag), ...args], // Deno itself says nothing of packages that it fetches
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(LONGEST),
  }).spawn();
  const outcome = child.output().then(({ code, stdout, stderr }) => {
    return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  });
  return { outcome, interrupt: (signal = "SIGINT") => child.kill(signal) };
}

/** A folder with data, questions, trained files and earlier results, and a settings file that uses them and the golden model. */
export interface Workplace extends AsyncDisposable {
  /** The settings file. */
  readonly config: string;
  /** A path in the folder. */
  file(...names: string[]): string;
  /** Writes a file into the folder. @returns its path */
  write(name: string, content: string | Uint8Array): Promise<string>;
  /** A new copy of a file or folder of the project, to be damaged. @returns its path */
  copyOf(path: string): Promise<string>;
  /** Runs a task with the settings file. */
  run(task: string, args?: readonly string[], options?: RunTaskOptions): Promise<Outcome>;
  /**
   * Runs a task with the settings file that must fail: with status 1, and one message without a stack trace that matches all of `says`; no file of
   * the output folders is touched, made or removed.
   *
   * @returns the message
   */
  fails(task: string, args: readonly string[], options: RunTaskOptions & { says: readonly RegExp[]; config?: string }): Promise<string>;
}

/** Makes a workplace with earlier results in its output folders. It is removed when disposed of. */
export async function workplace(): Promise<Workplace> {
  const path = await Deno.makeTempDir({ prefix: "masp_tasks_" });
  const file = (...names: string[]) => join(path, ...names);
  const write = async (name: string, content: string | Uint8Array) => {
    const target = file(name);
    await ensureDir(dirname(target));
    await Deno.writeFile(target, typeof content === "string" ? new TextEncoder().encode(content) : content);
    return target;
  };
  for (const name of ["emoset", "prompts.json", "aspect.pth", "soft_prompt.pt"]) await copy(join(GOLDEN, name), file(name));
  const config = await write("settings.yaml", stringify(settings(file)));
  const results = ["settings.yaml", "metrics.jsonl", "run.json", "evaluation.json", "evaluation.md", "predictions.jsonl"];
  const trained = ["aspect.safetensors", "soft_prompt.safetensors", "checkpoints/checkpoint-8.safetensors", "report.html"];
  for (const name of [...results, ...trained]) {
    for (const stage of ["stage1", "stage2", "eval"]) await write(`outputs/${stage}/${name}`, `earlier ${name} of ${stage}`);
  }
  const run = (task: string, args: readonly string[] = [], options?: RunTaskOptions) =>
    runTask(task, ["--config", config, ...args], options);
  let copies = 0;
  return {
    config,
    file,
    write,
    async copyOf(source) {
      const target = file(`copy-${++copies}`, relative(dirname(source), source));
      await ensureDir(dirname(target));
      await copy(source, target);
      return target;
    },
    run,
    async fails(task, args, { says, config: other = config, ...options }) {
      const before = await digests(file("outputs"));
      const takesConfig = !["golden", "report"].includes(task);
      const { code, stdout, stderr } = await runTask(task, [...(takesConfig ? ["--config", other] : []), ...args], options);
      const message = stderr.trim();
      assertEquals(code, 1, `${task} ${args.join(" ")}: ${message || stdout}`);
      for (const pattern of says) assertMatch(message, pattern);
      assert(!/^\s+at .+:\d+/m.test(message), `a stack trace: ${message}`);
      assert(!/Uncaught|^error:|\[object|undefined|panicked/m.test(message), `not one message for users: ${message}`);
      assertEquals(await digests(file("outputs")), before, "earlier results changed");
      return message;
    },
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

function settings(file: Workplace["file"]) {
  return {
    common: {
      model_name: join(GOLDEN, "model"),
      prompt_json_path: file("prompts.json"),
      dataname: "EmoSet",
      seed: 1,
      feature_cache: "none",
    },
    stage1: { aspect_data_path: file("emoset"), num_train_epochs: 1, output_dir: file("outputs", "stage1") },
    stage2: {
      train_data_path: file("emoset"),
      ckpt_path: file("aspect.pth"),
      num_train_epochs: 1,
      output_dir: file("outputs", "stage2"),
    },
    eval: {
      test_data_path: file("emoset"),
      ckpt_path: file("aspect.pth"),
      soft_prompt_path: file("soft_prompt.pt"),
      output_dir: file("outputs", "eval"),
    },
  };
}

/** SHA-256 of every file below a folder, by path. */
export async function digests(dir: string): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  for await (const { path } of walk(dir, { includeDirs: false })) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(path)));
    result[relative(dir, path)] = digest.toHex();
  }
  return result;
}
