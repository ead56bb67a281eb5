/** What every task shares: flags, messages, exit status, progress. */
import { parseArgs } from "@std/cli";
import { Gpu, GpuError, requestGpu } from "../kernels/gpu.ts";
import { MaspError } from "../pipeline/errors.ts";

/** Flags of a task by name: what they stand for, and whether they take a value. */
export type FlagSpec = Readonly<Record<string, { help: string; value?: string; repeat?: boolean }>>;

/** A task's description. */
export interface Command {
  /** Name, as in `deno task NAME`. */
  name: string;
  /** What it does, in a line or two. */
  summary: string;
  /** Its other arguments, as shown in the help. */
  args?: string;
  /** Its own flags. */
  flags?: FlagSpec;
  /** Flags that no name lists are handed on as settings. */
  settings?: boolean;
}

/** Flags and arguments as given. */
export interface Invocation {
  /** Values by flag; `true` for flags without a value. */
  flags: Record<string, string | boolean | undefined>;
  /** Settings that flags override. */
  overrides: Record<string, string | boolean>;
  /** Other arguments. */
  args: string[];
}

/** Runs a task: prints help for `--help`, one clear message and status 1 for what a user can mend. */
export async function runCommand(command: Command, main: (invocation: Invocation) => Promise<void>): Promise<void> {
  try {
    const invocation = parse(command, Deno.args);
    if (invocation) await main(invocation);
  } catch (error) {
    const message = messageOf(error);
    if (message === undefined) throw error;
    console.error(`\n${message}`);
    Deno.exit(1);
  }
}

/** The message of an error that a user can mend; `undefined` for faults of the program. */
function messageOf(error: unknown): string | undefined {
  if (error instanceof MaspError || error instanceof GpuError) return error.message;
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return `${error.message}\nCheck the path, and that this task may read and write there.`;
  }
  return undefined;
}

function parse(command: Command, args: string[]): Invocation | undefined {
  const flags: FlagSpec = { ...command.flags, help: { help: "show this text" } };
  const names = Object.keys(flags);
  const overrides: Record<string, string | boolean> = {};
  const unknown: string[] = [];
  // A flag that no name lists takes the next argument as its value, as settings do.
  const settings = command.settings ? args.filter((arg) => arg.startsWith("--")).map((arg) => arg.slice(2).split("=")[0]) : [];
  const parsed = parseArgs(args, {
    boolean: names.filter((name) => !flags[name].value),
    string: [...names.filter((name) => flags[name].value), ...settings.filter((name) => !names.includes(name))],
    unknown: (arg, key) => {
      if (key !== undefined) unknown.push(arg);
      return key === undefined;
    },
  });
  if (parsed.help) {
    console.log(help(command, flags));
    return undefined;
  }
  if (unknown.length) throw new MaspError(`deno task ${command.name} has no flag ${unknown.join(", ")}. Its flags:\n${flagLines(flags)}`);
  const known: Invocation["flags"] = {};
  for (const [name, value] of Object.entries(parsed)) {
    if (name === "_") continue;
    if (names.includes(name)) known[name] = value as string | boolean;
    else overrides[name] = value === "" ? true : value as string | boolean;
  }
  for (const name of names) {
    if (flags[name].value && known[name] === "") throw new MaspError(`The flag --${name} needs a value: --${name} ${flags[name].value}`);
  }
  return { flags: known, overrides, args: parsed._.map(String) };
}

function help(command: Command, flags: FlagSpec): string {
  const more = command.settings
    ? "\nEvery setting of the settings file can be given as a flag too, for example --learning-rate 1e-4.\n"
    : "";
  return `deno task ${command.name} ${command.args ?? ""}\n\n${command.summary}\n${more}\n${flagLines(flags)}`;
}

function flagLines(flags: FlagSpec): string {
  const named = Object.entries(flags).map(([name, { help, value }]) => [`--${name}${value ? ` ${value}` : ""}`, help]);
  const width = Math.max(...named.map(([name]) => name.length));
  return named.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join("\n");
}

/** A flag's text, or `undefined`. */
export function textFlag(invocation: Invocation, name: string): string | undefined {
  const value = invocation.flags[name];
  return typeof value === "string" ? value : undefined;
}

/** A flag's number. @throws {MaspError} when it is none */
export function numberFlag(invocation: Invocation, name: string): number | undefined {
  const text = textFlag(invocation, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new MaspError(`--${name} is "${text}"; expected a number`);
  return value;
}

/** The GPU, with its name on the terminal. */
export async function openGpu(): Promise<Gpu> {
  const gpu = await requestGpu();
  console.log(`GPU: ${gpu.name}`);
  return gpu;
}

/** Ends with a signal when Ctrl-C is pressed, so that a run can stop with a checkpoint; a second press ends at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) Deno.exit(130);
    console.error("\nStopping after the step in progress; press Ctrl-C again to stop at once.");
    controller.abort();
  };
  Deno.addSignalListener("SIGINT", stop);
  return controller.signal;
}
