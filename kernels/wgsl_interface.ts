/** What a WGSL text says to its caller, without what its functions do. */

/**
 * The text with empty function bodies and without comments: bindings, structures and entry points are all there. Parsing it is quick, and
 * knows nothing of what implementations add to the language.
 */
export function withoutBodies(code: string): string {
  const text = code.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");
  let result = "";
  let at = 0;
  for (const { index } of text.matchAll(/\bfn\s+\w+\s*\(/g)) {
    const open = text.indexOf("{", index);
    result += `${text.slice(at, open)}{}`;
    at = endOfBlock(text, open);
  }
  return result + text.slice(at);
}

/** Place behind the brace that closes the one at `open`. */
function endOfBlock(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return i + 1;
  }
  return text.length;
}
