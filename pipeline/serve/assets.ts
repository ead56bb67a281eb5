/** The page's files, as they are sent. */
import icon from "./page/icon.svg" with { type: "text" };
import page from "./page/index.html" with { type: "text" };
import app from "./page/app.js" with { type: "text" };
import dom from "./page/dom.js" with { type: "text" };
import heatmap from "./page/heatmap.js" with { type: "text" };
import history from "./page/history.js" with { type: "text" };
import intake from "./page/intake.js" with { type: "text" };
import preview from "./page/preview.js" with { type: "text" };
import result from "./page/result.js" with { type: "text" };
import aspects from "./page/aspects.js" with { type: "text" };
import server from "./page/server.js" with { type: "text" };
import stage from "./page/stage.js" with { type: "text" };
import layout from "./page/layout.css" with { type: "text" };
import style from "./page/style.css" with { type: "text" };

/** A file of the page. */
export interface Asset {
  /** Its text. */
  text: string;
  /** Its media type. */
  type: string;
}

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

const FILES: Readonly<Record<string, string>> = {
  "index.html": page,
  "icon.svg": icon,
  "layout.css": layout,
  "style.css": style,
  "app.js": app,
  "aspects.js": aspects,
  "dom.js": dom,
  "heatmap.js": heatmap,
  "history.js": history,
  "intake.js": intake,
  "preview.js": preview,
  "result.js": result,
  "server.js": server,
  "stage.js": stage,
};

/** The page's files by the path of the address; `/` is the page. */
export const ASSETS: ReadonlyMap<string, Asset> = new Map(
  Object.entries(FILES).map(([name, text]) => [name === "index.html" ? "/" : `/${name}`, { text, type: TYPES[name.split(".")[1]] }]),
);
