/** Pictures that were tried, as long as the browser's tab is open. */
import { byId, element } from "./dom.js";

const KEY = "masp-history";
/** Entries that are kept. */
const KEPT = 24;

/** Entries, newest first: `{ id, name, state, preview, ratio, label, url, reading, error, milliseconds }`. */
export class History {
  #entries = restore();
  #selected;

  /** Called with an entry that was clicked. */
  onSelect = () => {};

  /** Entries, newest first. */
  get entries() {
    return this.#entries;
  }

  /** Adds an entry at the front. @returns the entry */
  add(entry) {
    const added = { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, ...entry };
    this.#entries = [added, ...this.#entries].slice(0, KEPT);
    this.render();
    return added;
  }

  /** Keeps what became of an entry. */
  update(entry, changes) {
    Object.assign(entry, changes);
    this.#save();
    this.render();
  }

  /** Marks the entry that is shown. */
  select(entry) {
    this.#selected = entry;
    this.render();
  }

  /** Draws the list. */
  render() {
    byId("tried-section").hidden = this.#entries.length === 0;
    const focused = document.activeElement?.closest?.("#tried [data-id]")?.dataset.id;
    byId("tried").replaceChildren(...this.#entries.map((entry) => element("li", {}, this.#button(entry))));
    if (focused) byId("tried").querySelector(`[data-id="${focused}"]`)?.focus();
  }

  #button(entry) {
    const { id, name, preview, state, reading } = entry;
    const outcome = { busy: "being read", failed: "not read", done: reading?.emotion }[state];
    const button = element(
      "button",
      { type: "button", class: `thumb ${state}`, "data-id": id, title: name, "aria-label": `${name}: ${outcome}` },
      preview ? element("img", { src: preview, alt: "" }) : element("span", { class: "blank", "aria-hidden": "true" }, "?"),
      element("span", { class: "caption" }, state === "busy" ? "…" : outcome),
    );
    if (entry === this.#selected) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => this.onSelect(entry));
    return button;
  }

  /** Keeps as many entries as the browser has room for. */
  #save() {
    const done = this.#entries.filter(({ state }) => state !== "busy");
    for (let count = done.length; count >= 0; count--) {
      try {
        sessionStorage.setItem(KEY, JSON.stringify(done.slice(0, count)));
        return;
      } catch {
        // no room: without the oldest
      }
    }
  }
}

function restore() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
  } catch {
    return [];
  }
}
