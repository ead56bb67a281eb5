/** `@std/path` over `node:path`: the functions that this project uses, with the original's signatures. */
export { basename, dirname, extname, isAbsolute, join, normalize, relative, resolve, SEPARATOR } from "./path.ts";
export { fromFileUrl, toFileUrl } from "./path.ts";
