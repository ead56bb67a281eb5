/** The options of `@std/cli`'s `parseArgs` that this project uses. */
export interface ParseOptions {
  /** Flags that take no value. */
  boolean?: string[];
  /** Flags whose value stays text. */
  string?: string[];
  /** Flags that may be given several times. */
  collect?: string[];
  /** Flags for which `--no-x` means false. */
  negatable?: string[];
  /** Short names. */
  alias?: Record<string, string>;
  /** Values of flags that are not given. */
  default?: Record<string, unknown>;
  /** Called for every argument that no option names; `false` leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}
import { parseArgs as nodeParseArgs } from "node:util";

/** Command line → an object of flags, and the other arguments under `_`. */
export function parseArgs(args: string[], options: ParseOptions = {}): Record<string, unknown> & { _: string[] } {
  const { boolean = [], string = [], collect = [], negatable = [], alias = {}, unknown } = options;
  const result: Record<string, unknown> & { _: string[] } = { _: [], ...options.default };
  for (const name of boolean) result[name] ??= false;
  const known = new Set([...boolean, ...string, ...collect]);
  const { tokens } = nodeParseArgs({
    args,
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: Object.fromEntries(
      [...known].map((name) => [name, { type: boolean.includes(name) ? "boolean" as const : "string" as const }]),
    ),
  });
  for (const token of tokens) {
    if (token.kind === "positional") {
      if (!unknown || unknown(token.value) !== false) result._.push(token.value);
    } else if (token.kind === "option") {
      let name = alias[token.name] ?? token.name;
      let value: unknown = token.value ?? (boolean.includes(name) || !known.has(name) ? true : "");
      if (boolean.includes(name) && typeof value === "string") value = value !== "false";
      if (!known.has(name) && name.startsWith("no-") && negatable.includes(name.slice(3))) [name, value] = [name.slice(3), false];
      if (!known.has(name) && unknown && unknown(token.rawName, name, value) === false) continue;
      if (collect.includes(name)) ((result[name] ??= []) as unknown[]).push(value);
      else result[name] = value;
    }
  }
  return result;
}
