/** A card for each aspect: its map over the picture, its words, and its queries. */
import { byId, element, percent, title } from "./dom.js";
import { drawMap, strongest } from "./heatmap.js";

/** Shows the cards of one entry. */
export class AspectCards {
  #stage;
  #table;
  #cards = [];

  /** @param stage the large picture; @param {Uint8ClampedArray} table colours of the levels */
  constructor(stage, table) {
    this.#stage = stage;
    this.#table = table;
    stage.onPlain = () => this.#choose(undefined);
  }

  /** Shows cards that wait for their maps. @param {string[]} views */
  showBusy(views, preview) {
    byId("aspects-section").hidden = views.length === 0;
    this.#cards = [];
    const cards = views.map((view) => {
      const frame = element("div", { class: "frame mapped" }, ...preview ? [element("img", { src: preview, alt: "" })] : []);
      const well = element("div", { class: "well" }, frame);
      return element("article", { class: "card waiting" }, well, element("h3", {}, title(view)), element("p", { class: "words" }, "…"));
    });
    byId("cards").replaceChildren(...cards);
  }

  /** Shows an entry's aspects; takes the cards away when it has none. */
  show({ reading, preview }) {
    const maps = reading?.maps ?? [];
    byId("aspects-section").hidden = maps.length === 0;
    this.#cards = maps.map((map, i) => this.#card(map, { words: reading.aspects[map.view], preview, id: `view-${i}` }));
    byId("cards").replaceChildren(...this.#cards.map(({ node }) => node));
  }

  #card(map, { words, preview, id }) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const note = element("p", { class: "strongest" });
    let current;
    const draw = (query) => {
      current = shown(map, query);
      drawMap(canvas, current, this.#table);
      const { place, share } = strongest(current);
      note.textContent = `Peak ${percent(share)}, ${place}`;
    };
    const button = element(
      "button",
      {
        type: "button",
        class: "frame mapped",
        "aria-pressed": "false",
        "aria-label": `Show ${title(map.view).toLowerCase()} on the picture`,
      },
      preview ? element("img", { src: preview, alt: "" }) : undefined,
      canvas,
    );
    const card = {
      button,
      get map() {
        return current;
      },
    };
    button.addEventListener("click", () => this.#choose(button.getAttribute("aria-pressed") === "true" ? undefined : card));
    this.#pointed(button, () => current);
    const queries = this.#queries(map, { id, pick: (query) => (draw(query), this.#choose(card)) });
    draw(undefined);
    card.node = element(
      "article",
      { class: "card", "aria-labelledby": `${id}-title` },
      element("div", { class: "well" }, button),
      element("h3", { id: `${id}-title` }, title(map.view)),
      element("p", { class: "words" }, words?.trim() || "—"),
      queries,
      note,
    );
    return card;
  }

  /** Mean and queries, one of which is chosen. */
  #queries(map, { id, pick }) {
    const options = [undefined, ...map.queries.keys()].map((query) => {
      const input = element("input", { type: "radio", name: id, id: `${id}-${query ?? "mean"}`, checked: query === undefined });
      input.addEventListener("change", () => pick(query));
      const name = query === undefined ? "Mean" : `${query + 1}`;
      const said = query === undefined ? undefined : `Query ${name}`;
      if (said) input.setAttribute("aria-label", said);
      const label = element("label", { for: input.id, title: said ?? `Mean of ${map.queries.length} queries` }, name);
      this.#pointed(label, () => shown(map, query));
      input.addEventListener("focus", () => input.matches(":focus-visible") && this.#stage.point(shown(map, query)));
      input.addEventListener("blur", () => this.#stage.point(undefined));
      return element("span", { class: "option" }, input, label);
    });
    return element(
      "fieldset",
      { class: "queries" },
      element("legend", { class: "visually-hidden" }, `Queries of ${title(map.view)}`),
      ...options,
    );
  }

  #choose(card) {
    for (const { button } of this.#cards) button.setAttribute("aria-pressed", String(button === card?.button));
    this.#stage.choose(card?.map);
  }

  /** Shows a map while its element is pointed at or focused. */
  #pointed(node, map) {
    for (const type of ["pointerenter", "focus"]) node.addEventListener(type, () => this.#stage.point(map()));
    for (const type of ["pointerleave", "blur"]) node.addEventListener(type, () => this.#stage.point(undefined));
  }
}

/** A query's map, or the mean's. */
function shown({ view, rows, columns, mean, queries }, query) {
  const of = query === undefined ? "mean" : `query ${query + 1}`;
  return { label: `${title(view)} · ${of}`, rows, columns, weights: query === undefined ? mean : queries[query] };
}
