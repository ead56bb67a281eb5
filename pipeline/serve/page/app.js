/** The page: what was dropped is sent, and what comes back is shown. */
import { AspectCards } from "./aspects.js";
import { byId, element, percent } from "./dom.js";
import { colourTable } from "./heatmap.js";
import { History } from "./history.js";
import { watchIntake } from "./intake.js";
import { previewOf } from "./preview.js";
import { showAnswer, showBusy, showFailure } from "./result.js";
import { examples, fetchPicture, health, predict } from "./server.js";
import { Stage } from "./stage.js";

/** Pictures that are taken at once. */
const AT_ONCE = 8;

const ready = health().then(start);
ready.catch(({ message }) => {
  byId("unavailable").textContent = message;
  byId("unavailable").hidden = false;
  byId("lead").hidden = true;
});
watchIntake(async (files) => (await ready)(files)); // at once: a file that is dropped early is not opened in place of the page

/** Shows what is there. @returns what takes files */
function start(about) {
  const table = colourTable(about.colours);
  const stage = new Stage(table);
  const cards = new AspectCards(stage, table);
  const history = new History();
  let current;

  const show = (entry) => {
    current = entry;
    history.select(entry);
    document.body.dataset.state = entry.state;
    byId("welcome").hidden = true;
    byId("reading").hidden = false;
    stage.show(entry);
    stage.progress(entry.state === "busy" ? entry.progress : undefined);
    if (entry.state === "busy") cards.showBusy(about.views, entry.preview);
    else cards.show(entry);
    if (entry.state === "busy") showBusy(about.categories);
    else if (entry.state === "failed") showFailure(entry);
    else showAnswer(entry);
  };

  const update = (entry, changes) => {
    history.update(entry, changes);
    if (entry === current) show(entry);
  };

  const progress = (entry, text) => {
    entry.progress = text;
    if (entry !== current) return;
    stage.progress(text);
    say(`${entry.name}: ${text}`);
  };

  const read = async (file, { name, label, url }) => {
    const entry = history.add({ name, label, url, state: "busy", progress: "Reading" });
    show(entry);
    say(`${name}: being read`);
    try {
      if (file.size > about.limits.bytes) throw new Error(`This file is too large; at most ${about.limits.bytes / 1e6} MB are taken.`);
      const preview = await previewOf(file, about.limits);
      if (preview) update(entry, { preview: preview.url, ratio: preview.ratio });
      const { reading, picture, milliseconds } = await predict(file, {
        onEvent: ({ event, ahead }) => progress(entry, event === "waiting" ? `Waiting: ${ahead} before this one` : "Reading"),
      });
      update(entry, { state: "done", reading, milliseconds, ratio: picture.width / picture.height });
      if (entry === current) say(`${name}: ${reading.emotion}, ${percent(reading.scores[reading.emotion])}`);
    } catch (error) {
      update(entry, { state: "failed", error: error.message });
    }
  };

  history.onSelect = show;
  history.render();
  if (history.entries.length) show(history.entries[0]);
  describe(about);
  offerExamples(async ({ name, label, url }) => {
    const tried = history.entries.find((entry) => entry.url === url && entry.state !== "failed");
    if (tried) show(tried);
    else await read(await fetchPicture(url), { name, label, url });
  });
  return (files) => {
    for (const file of files.slice(0, AT_ONCE)) read(file, { name: file.name || "pasted picture" });
    if (files.length > AT_ONCE) say(`Only the first ${AT_ONCE} of ${files.length} files are taken.`);
  };
}

/** Says what is served, and how programs use it. */
function describe({ model, method, gpu, limits }) {
  const facts = Object.entries({ Model: model, Method: method, Adapter: gpu.replace(/ \(.*/, "") });
  byId("facts").replaceChildren(
    ...facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", { title: name === "Adapter" ? gpu : value }, value))
    ),
  );
  const kinds = new Intl.ListFormat("en", { type: "disjunction" }).format(limits.types);
  byId("limits").textContent = `${kinds}, up to ${limits.bytes / 1e6} MB and ${limits.pixels / 1e6} megapixels.`;
  byId("curl").textContent = `curl --data-binary @picture.jpg ${location.origin}/api/predict`;
}

async function offerExamples(take) {
  const offered = await examples().catch(() => []);
  byId("examples-section").hidden = offered.length === 0;
  byId("examples").replaceChildren(...offered.map((example) => {
    const button = element(
      "button",
      { type: "button", class: "thumb", title: example.name, "aria-label": `Example ${example.name}` },
      element("img", { src: example.url, alt: "", loading: "lazy" }),
    );
    button.addEventListener("click", () => take(example).catch((error) => say(error.message)));
    return element("li", {}, button);
  }));
}

/** Says something to people who do not see the page. */
function say(text) {
  byId("status").textContent = text;
}
