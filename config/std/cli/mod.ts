/** `@std/cli` over `node:util`: the functions that this project uses, with the original's signatures. */
export { parseArgs, type ParseOptions } from "./parse_args.ts";
