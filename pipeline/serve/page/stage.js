/** The large picture, and the map that lies over it. */
import { byId, percent } from "./dom.js";
import { drawMap, strongest } from "./heatmap.js";

/** Shows one entry of the history. */
export class Stage {
  #entry;
  #table;
  /** The map that stays when none is pointed at. */
  #chosen;

  /** @param {Uint8ClampedArray} table colours of the levels */
  constructor(table) {
    this.#table = table;
    byId("plain").addEventListener("click", () => this.onPlain());
    const stops = [0, 64, 128, 191, 255].map((level) => `rgb(${table.slice(4 * level, 4 * level + 3).join(" ")})`);
    byId("scale").style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
  }

  /** Called by the button that takes the map away. */
  onPlain = () => this.choose(undefined);

  /** Shows an entry's picture without a map. */
  show(entry) {
    this.#entry = entry;
    this.#chosen = undefined;
    const { name, preview, ratio = 4 / 3, state } = entry;
    const picture = byId("picture");
    picture.hidden = !preview;
    if (preview) picture.src = preview;
    else picture.removeAttribute("src");
    picture.alt = `The picture ${name}`;
    byId("no-preview").hidden = Boolean(preview);
    byId("no-preview").textContent = state === "failed" ? "No picture to show" : "This browser cannot show this kind of file";
    document.body.style.setProperty("--ratio", Math.min(Math.max(ratio, 0.05), 20));
    byId("file-name").textContent = name;
    this.#draw(undefined);
  }

  /** What goes on, over the picture; nothing to take it away. */
  progress(text) {
    byId("progress").hidden = !text;
    byId("progress").textContent = text ?? "";
  }

  /** Puts a map over the picture, to stay. @param map `{ label, rows, columns, weights }`, or nothing for the picture alone */
  choose(map) {
    this.#chosen = map;
    this.#draw(map);
  }

  /** Shows a map as long as it is pointed at; nothing to go back to the chosen one. */
  point(map) {
    this.#draw(map ?? this.#chosen);
  }

  #draw(map) {
    const overlay = byId("overlay");
    overlay.hidden = !map;
    byId("legend").hidden = !map;
    byId("frame").classList.toggle("mapped", Boolean(map));
    byId("file-name").hidden = Boolean(map);
    if (!map || !this.#entry) return;
    drawMap(overlay, map, this.#table);
    const { place, share } = strongest(map);
    byId("legend-text").textContent = map.label;
    overlay.setAttribute("aria-label", `${map.label}: strongest at the ${place}, with ${percent(share)} of the attention in one patch`);
  }
}
