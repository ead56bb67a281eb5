// What the page does itself: filters of the gallery, and attention maps drawn when they come into view. No library, no request.
"use strict";

const PAGE = 24;

/** Weights of four neighbours by the bicubic kernel (Catmull-Rom). */
function cubic(t) {
  return [((2 - t) * t - 1) * t / 2, ((3 * t - 5) * t * t + 2) / 2, ((4 - 3 * t) * t + 1) * t / 2, (t - 1) * t * t / 2];
}

/** One axis of the enlargement: for each of `size` pixels four cells and their weights. */
function taps(count, size) {
  return Array.from({ length: size }, (_, i) => {
    const place = (i + 0.5) * count / size - 0.5;
    const first = Math.floor(place);
    const cells = [-1, 0, 1, 2].map((d) => Math.min(count - 1, Math.max(0, first + d)));
    return [cells, cubic(place - first)];
  });
}

/** 256 colours from the stops. */
function colourTable(stops) {
  return Array.from({ length: 256 }, (_, level) => {
    const place = level / 255 * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    return stops[below].map((value, c) => Math.round(value + (place - below) * (stops[below + 1][c] - value)));
  });
}

/** Draws a map over what the canvas holds. */
function paint(context, { rows, columns, weights }, table) {
  const { width, height } = context.canvas;
  const [across, down] = [taps(columns, width), taps(rows, height)];
  const peak = Math.max(...weights) || 1;
  const layer = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  const lines = Array.from(
    { length: rows },
    (_, y) => across.map(([cells, shares]) => cells.reduce((sum, x, k) => sum + shares[k] * weights[y * columns + x], 0)),
  );
  for (let y = 0; y < height; y++) {
    const [cells, shares] = down[y];
    for (let x = 0; x < width; x++) {
      const value = cells.reduce((sum, row, k) => sum + shares[k] * lines[row][x], 0) / peak;
      pixels.data.set(table[Math.round(255 * Math.min(1, Math.max(0, value)))], 4 * (y * width + x));
    }
  }
  layer.getContext("2d").putImageData(pixels, 0, 0);
  context.drawImage(layer, 0, 0);
}

/** Maps of a view: the mean, and each query alone. */
function unpack({ rows, columns, peaks, weights }) {
  const bytes = Uint8Array.from(atob(weights), (character) => character.charCodeAt(0));
  const cells = rows * columns;
  const queries = peaks.map((peak, q) => Array.from(bytes.subarray(q * cells, (q + 1) * cells), (level) => level / 255 * peak));
  const mean = Array.from({ length: cells }, (_, i) => queries.reduce((sum, query) => sum + query[i], 0) / queries.length);
  return { rows, columns, queries, mean };
}

/** A small map over the picture in small. */
function thumbnail(canvas, image, map, table) {
  const ratio = image ? image.naturalWidth / image.naturalHeight : map.columns / map.rows;
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  if (image) {
    const side = Math.min(image.naturalWidth, image.naturalHeight);
    const [left, top] = [(image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2];
    context.drawImage(image, left, top, side, side, 0, 0, width, height);
  }
  const full = new OffscreenCanvas(ratio >= 1 ? Math.round(width * ratio) : width, ratio >= 1 ? height : Math.round(height / ratio));
  paint(full.getContext("2d"), map, table);
  context.drawImage(full, (width - full.width) / 2, (height - full.height) / 2);
}

/** Maps of a card: draws the small ones, and shows one on the picture when it is pointed at, reached by the keyboard or pressed. */
function mapsOf(card, attention, table) {
  const image = card.querySelector(".picture img");
  const overlay = card.querySelector(".picture canvas");
  const queries = card.querySelector(".queries");
  const views = Object.fromEntries(Object.entries(attention).map(([view, packed]) => [view, unpack(packed)]));
  let pinned;
  const show = (map, weights) => {
    overlay.width = image ? image.naturalWidth : 160;
    overlay.height = image ? image.naturalHeight : 160;
    paint(overlay.getContext("2d"), { ...map, weights }, table);
    overlay.classList.add("shown");
  };
  const rest = () => pinned ? show(pinned.map, pinned.weights) : overlay.classList.remove("shown");
  const pointed = (button, map, weights) => {
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => show(map, weights));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, rest);
  };
  const press = (buttons, pressed) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button === pressed)));
  const open = (view, map) => {
    const name = view.replaceAll("_", " ");
    queries.setAttribute("aria-label", `Queries of ${name}`);
    const note = document.createElement("p");
    note.textContent = `Queries of ${name}, each alone`;
    const buttons = [map.mean, ...map.queries].map((weights, q) => {
      const button = document.createElement("button");
      button.type = "button";
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 92;
      canvas.setAttribute("aria-hidden", "true");
      thumbnail(canvas, image, { ...map, weights }, table);
      button.append(canvas, q === 0 ? "mean" : String(q));
      button.setAttribute("aria-label", q === 0 ? `Mean of the queries of ${name}` : `Query ${q} of ${name}`);
      button.addEventListener("click", () => {
        pinned = { map, weights };
        press(buttons, button);
        rest();
      });
      pointed(button, map, weights);
      return button;
    });
    press(buttons, buttons[0]);
    queries.replaceChildren(note, ...buttons);
    queries.hidden = false;
  };
  const buttons = [...card.querySelectorAll("button.view")];
  const close = () => {
    pinned = undefined;
    press(buttons, undefined);
    queries.hidden = true;
    rest();
  };
  for (const button of buttons) {
    const map = views[button.dataset.view];
    thumbnail(button.querySelector("canvas"), image, { ...map, weights: map.mean }, table);
    pointed(button, map, map.mean);
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-pressed") === "true") return close();
      pinned = { map, weights: map.mean };
      press(buttons, button);
      open(button.dataset.view, map);
      rest();
    });
  }
  card.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && pinned) {
      const view = buttons.find((button) => button.getAttribute("aria-pressed") === "true");
      close();
      view?.focus();
    }
  });
}

/** Filters of a gallery, and its pages. */
function gallery(section) {
  const cards = [...section.querySelectorAll(".card")];
  const filters = [...section.querySelectorAll("[data-filter]")];
  const choices = [...section.querySelectorAll("[data-by]")];
  const more = section.querySelector(".more");
  let shown = PAGE;
  const wanted = (card) => {
    const filter = filters.find((button) => button.getAttribute("aria-pressed") === "true")?.dataset.filter;
    const kind = filter === "right"
      ? card.dataset.right === "true"
      : filter === "wrong"
      ? card.dataset.right === "false"
      : filter === "all" || card.dataset.change === filter;
    return kind && choices.every(({ value, dataset }) => value === "" || card.dataset[dataset.by] === value);
  };
  const update = () => {
    const matching = cards.filter(wanted);
    const visible = new Set(matching.slice(0, shown));
    for (const card of cards) card.hidden = !visible.has(card);
    section.querySelector(".count").textContent = `${visible.size} of ${matching.length} shown`;
    section.querySelector(".none").hidden = matching.length > 0;
    more.hidden = matching.length <= visible.size;
  };
  const changed = () => {
    shown = PAGE;
    update();
  };
  for (const button of filters) {
    button.addEventListener("click", () => {
      for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
      changed();
    });
  }
  for (const select of choices) select.addEventListener("change", changed);
  more.addEventListener("click", () => {
    const before = cards.filter((card) => !card.hidden).length;
    shown += PAGE;
    update();
    const next = cards.filter((card) => !card.hidden)[before]?.querySelector("button");
    next?.focus({ preventScroll: true });
  });
  update();
  const maps = section.querySelector("script.maps");
  if (!maps) return;
  const { stops, pictures } = JSON.parse(maps.textContent);
  const table = colourTable(stops);
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      const image = target.querySelector(".picture img");
      const start = () => mapsOf(target, pictures[Number(target.dataset.maps)], table);
      if (image) image.decode().then(start);
      else start();
    }
  }, { rootMargin: "400px" });
  for (const card of cards) if (card.dataset.maps !== undefined) watcher.observe(card);
}

document.querySelectorAll(".gallery").forEach(gallery);
