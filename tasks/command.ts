/** What every task shares: flags, messages, exit status, progress. */
import { parseArgs } from "@std/cli";
import type { Stage } from "../config/schema.ts";
import { nearestName } from "../config/nearest_name.ts";
import { settingFlags, settingOverrides } from "../config/schema_flags.ts";
import { openDawn } from "../kernels/dawn/dawn.ts";
import { type Gpu, requestGpu } from "../kernels/gpu.ts";
import { MaspError } from "../pipeline/errors.ts";
import { useTuning } from "../pipeline/tuning.ts";
import { isInterruption, messageOf } from "./error_message.ts";
import { setLinuxVariables } from "./linux_variables.ts";

/** Flags of a task by name: what they stand for, and whether they take a value. */
export type FlagSpec = Readonly<Record<string, { help: string; value?: string; repeat?: boolean }>>;

const GPU_FLAGS: FlagSpec = {
  gpu: { help: "which WebGPU computes: Deno's own (native) or Dawn, which deno task install-dawn installs", value: "native|dawn" },
  precision: { help: "f16: products with frozen weights round their factors to f16; auto: on hardware only (auto)", value: "auto|f32|f16" },
};

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
  /** The stage, or the stages, whose settings can be given as flags. */
  settings?: Stage | readonly Stage[];
  /** Whether it uses a GPU; it does when left out. */
  gpu?: boolean;
}

/** Flags and arguments as given. */
export interface Invocation {
  /** Values by flag; `true` for flags without a value. */
  flags: Record<string, string | boolean | undefined>;
  /** Settings that flags override. */
  overrides: Record<string, string>;
  /** Other arguments. */
  args: string[];
}

/** Runs a task: prints help for `--help`, one clear message and status 1 for what a user can mend. */
export async function runCommand(command: Command, main: (invocation: Invocation) => Promise<void>): Promise<void> {
  try {
    const invocation = parse(command, Deno.args);
    if (invocation) await main(invocation);
  } catch (error) {
    if (isInterruption(error)) {
      console.error("\nStopped.");
      Deno.exit(interruptedStatus());
    }
    const message = messageOf(error);
    if (message === undefined) throw error;
    console.error(`\n${message}`);
    Deno.exit(1);
  }
}

function parse(command: Command, args: string[]): Invocation | undefined {
  const flags: FlagSpec = { ...command.flags, ...(command.gpu === false ? {} : GPU_FLAGS), help: { help: "show this text" } };
  const names = Object.keys(flags);
  const settings = command.settings ? settingFlags(command.settings) : undefined;
  const listed = new Set([
    ...names,
    ...settings?.string ?? [],
    ...settings?.boolean ?? [],
    ...(settings?.negatable ?? []).map((name) => `no-${name}`),
  ]);
  const given = args.filter((arg) => arg.startsWith("--") && arg !== "--").map((arg) => arg.slice(2).split("=")[0]);
  const unlisted = given.filter((name) => !listed.has(name));
  if (unlisted.length && !settings) {
    throw new MaspError(`deno task ${command.name} has no flag --${unlisted.join(", --")}. Its flags:\n${flagLines(flags)}`);
  }
  for (const name of unlisted) { // the settings name the nearest one themselves
    const nearest = nearestName(name, [...listed]);
    if (nearest !== undefined && names.includes(nearest)) throw new MaspError(`--${name} is no known flag; did you mean --${nearest}?`);
  }
  for (const [, name, value] of args.flatMap((arg) => [/^--([^=]+)=(.*)$/s.exec(arg) ?? []])) {
    if (name !== undefined && names.includes(name) && !flags[name].value && !/^(true|false)$/.test(value)) {
      throw new MaspError(`--${name} is a switch, which takes no value, but "${value}" was given: write --${name}, or leave it out`);
    }
  }
  const parsed = parseArgs(args, {
    boolean: [...names.filter((name) => !flags[name].value), ...settings?.boolean ?? []],
    string: [...names.filter((name) => flags[name].value), ...settings?.string ?? [], ...unlisted, "_"],
    negatable: settings?.negatable,
    default: settings?.default,
    alias: { h: "help" },
  });
  if (parsed.help) {
    console.log(help(command, flags));
    return undefined;
  }
  const letters = Object.keys(parsed).filter((name) => name.length === 1 && name !== "_" && name !== "h");
  if (letters.length) {
    throw new MaspError(
      `deno task ${command.name} has no flag -${letters.join(", -")}; flags are whole words. Its flags:\n${flagLines(flags)}`,
    );
  }
  if (parsed._.length && !command.args) {
    const names = parsed._.map((arg) => `"${arg}"`).join(", ");
    const hint = parsed._.some((arg) => /^(true|false)$/i.test(String(arg)))
      ? "Switches take no value: --name is on, --no-name is off. "
      : "";
    throw new MaspError(
      `deno task ${command.name} takes flags only, but ${names} stands alone. ${hint}See deno task ${command.name} --help`,
    );
  }
  for (const name of names) {
    if (flags[name].value && parsed[name] === "") throw new MaspError(`The flag --${name} needs a value: --${name} ${flags[name].value}`);
  }
  const overrides = command.settings ? settingOverrides(parsed, command.settings) : {};
  for (const name of unlisted) overrides[name] = String(parsed[name]);
  return { flags: parsed as Invocation["flags"], overrides, args: parsed._ as string[] };
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

/** A flag's whole number. @param least the smallest that is right; @throws {MaspError} when it is none */
export function wholeFlag(invocation: Invocation, name: string, least: number): number | undefined {
  const value = numberFlag(invocation, name);
  if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return value;
  throw new MaspError(`--${name} is ${value}; expected a whole number of at least ${least}`);
}

/** Which GPU, and how it computes. */
export interface GpuChoice {
  /** `native` (Deno's own WebGPU, the default) or `dawn`. */
  gpu?: string;
  /** `auto` (the default), `f32` or `f16`. */
  precision?: string;
  /** Says nothing on the terminal. */
  quiet?: boolean;
}

/** The choice that flags make, for tasks without settings. */
export function gpuFlags(invocation: Invocation): GpuChoice {
  return { gpu: textFlag(invocation, "gpu"), precision: textFlag(invocation, "precision") };
}

/**
 * The GPU, with its name on the terminal, and the kernels that `deno task bench tune` found for it.
 *
 * @throws {MaspError} when a choice is none of those
 */
export async function openGpu({ gpu: implementation = "native", precision = "auto", quiet }: GpuChoice): Promise<Gpu> {
  if (implementation !== "native" && implementation !== "dawn") {
    throw new MaspError(`--gpu is "${implementation}"; expected native or dawn`);
  }
  if (precision !== "auto" && precision !== "f32" && precision !== "f16") {
    throw new MaspError(`--precision is "${precision}"; expected auto, f32 or f16`);
  }
  setLinuxVariables();
  const gpu = await requestGpu({
    gpu: implementation === "dawn" ? await openDawn() : undefined,
    precision: precision === "auto" ? undefined : precision,
  });
  const measured = await useTuning(gpu);
  const notes = [...(implementation === "dawn" ? ["Dawn"] : []), ...(measured ? [`${measured} kernels tuned`] : [])];
  if (!quiet) console.log(`GPU: ${gpu.name}${notes.length ? ` (${notes.join(", ")})` : ""}`);
  return gpu;
}

/** Exit status of a run that Ctrl-C ended. */
export const INTERRUPTED = 130;

/** What ends a run cleanly, and the exit status then: Ctrl-C, a supervisor or scheduler. (SIGHUP is left to nohup.) */
const STOPS: Partial<Record<Deno.Signal, number>> = Deno.build.os === "windows"
  ? { SIGINT: INTERRUPTED, SIGBREAK: INTERRUPTED }
  : { SIGINT: INTERRUPTED, SIGTERM: 143 };

let interruption: AbortController | undefined;
let status = INTERRUPTED;

/**
 * Aborts when Ctrl-C is pressed, or the process is asked to end in another way, so that a run can stop with a checkpoint; a second time ends the
 * process at once.
 *
 * @param what is ended first, for the message
 */
export function interruptSignal(what = "the step in progress"): AbortSignal {
  if (interruption) return interruption.signal;
  const { signal } = interruption = new AbortController();
  for (const [name, value] of Object.entries(STOPS)) {
    Deno.addSignalListener(name as Deno.Signal, () => {
      if (signal.aborted) Deno.exit(value);
      status = value;
      console.error(`\nStopping after ${what}; press Ctrl-C again to stop at once.`);
      interruption?.abort();
    });
  }
  return signal;
}

/** Exit status of a run that {@linkcode interruptSignal} ended. */
export function interruptedStatus(): number {
  return status;
}
