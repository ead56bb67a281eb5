/** `@std/yaml` over `npm:yaml`: the functions that this project uses, with the original's signatures. */
import * as yaml from "yaml";

/** YAML text → value; throws on text that is no YAML. */
export function parse(content: string): unknown {
  return yaml.parse(content);
}
/** Value → YAML text. */
export function stringify(data: unknown): string {
  return yaml.stringify(data);
}
