/** Small tools for the document. */

/** The element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Makes an element. Properties are set as such; `class`, `for`, `role` and names with a hyphen as attributes; `undefined` is left out.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string | undefined)} children
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name.includes("-") || ["class", "for", "role"].includes(name)) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

/** 0.7345 → "73 %"; shares below a tenth of a percent are "< 0.1 %". */
export function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "<\u20090.1\u202f%";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}\u202f%`;
}

/** "facial_expression" → "Facial expression" */
export function title(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
