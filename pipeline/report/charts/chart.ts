/** A chart: what is drawn, what it says in words, and its numbers as a table. Drawn by Vega-Lite (Satyanarayan et al. 2017), without a browser. */
import type { Config, TopLevelSpec } from "vega-lite";

/** A cell of a table. */
export type Cell = string | number;

/** A table of numbers. */
export interface ChartTable {
  /** Names of the columns. */
  header: readonly string[];
  /** Cells, as many as columns in each row. */
  rows: readonly (readonly Cell[])[];
}

/** See the module's text. */
export interface Chart {
  /** What it shows, in a few words. */
  title: string;
  /** What one would say to somebody who cannot see it. */
  description: string;
  /** The drawing. Colours are names of {@linkcode COLOURS} in the form `var(--name)`. */
  spec: TopLevelSpec;
  /** Its numbers. */
  table: ChartTable;
}

/** Colours by name: light, then dark. In a page they are CSS variables, so that a chart follows the reader's choice. */
export const COLOURS: Readonly<Record<string, readonly [light: string, dark: string]>> = {
  paper: ["#fcfcfb", "#15171a"],
  card: ["#ffffff", "#1d2024"],
  ink: ["#1b1d21", "#eceef1"],
  muted: ["#5f6670", "#a2a9b4"],
  line: ["#e3e5e8", "#32363c"],
  accent: ["#3b5bdb", "#91a7ff"],
  plain: ["#8a9099", "#8d949f"],
  right: ["#0b7a5b", "#4fd1a5"],
  wrong: ["#c2410c", "#ff9d70"],
  "series-1": ["#3b5bdb", "#91a7ff"],
  "series-2": ["#d9730d", "#ffb366"],
  "series-3": ["#0b8a74", "#4fd1b5"],
  "series-4": ["#b0347e", "#f58fc4"],
  "series-5": ["#7a5c00", "#d8bb4c"],
  "series-6": ["#5f6670", "#a2a9b4"],
};

/** Colours of series, in their order. */
export const SERIES: readonly string[] = Object.keys(COLOURS).filter((name) => name.startsWith("series-")).map((name) => `var(--${name})`);

const FONT = "system-ui, sans-serif";

const CONFIG: Config = {
  background: "transparent",
  font: FONT,
  padding: 4,
  view: { stroke: null },
  aria: false,
  axis: {
    domain: false,
    ticks: false,
    gridColor: "var(--line)",
    gridWidth: 1,
    labelColor: "var(--muted)",
    labelFontSize: 12,
    labelPadding: 6,
    labelLimit: 220,
    titleColor: "var(--muted)",
    titleFontSize: 12,
    titleFontWeight: "normal",
    titlePadding: 10,
  },
  axisY: { titleAnchor: "middle" },
  legend: {
    labelColor: "var(--ink)",
    labelFontSize: 12,
    titleColor: "var(--muted)",
    titleFontSize: 12,
    titleFontWeight: "normal",
    orient: "top",
    direction: "horizontal",
    symbolStrokeWidth: 2,
    columnPadding: 18,
    offset: 8,
    title: null,
  },
  text: { color: "var(--ink)", fontSize: 12 },
  line: { strokeWidth: 1.8, strokeJoin: "round", strokeCap: "round" },
  point: { size: 64, filled: true, opacity: 1 },
};

/** Options of {@linkcode chartSvg}. */
export interface ChartSvgOptions {
  /** `page`: colours are CSS variables and there is no namespace, for SVG within HTML. `file` (the default): a file of its own, light colours. */
  target?: "page" | "file";
}

/** Draws a chart. @returns the SVG element as text */
export async function chartSvg(chart: Chart, options: ChartSvgOptions = {}): Promise<string> {
  const [{ compile }, vega] = await Promise.all([import("vega-lite"), import("vega")]);
  const { spec } = compile({ ...chart.spec, config: CONFIG }, { logger: vega.logger(vega.Error) });
  const view = new vega.View(vega.parse(spec), { renderer: "none", logger: vega.logger(vega.Error) });
  const svg = await view.toSVG().finally(() => view.finalize());
  return options.target === "page" ? forPage(svg, chart) : forFile(svg, chart);
}

function forPage(svg: string, { title, description }: Chart): string {
  const [, width] = svg.match(/^<svg[^>]* width="([\d.]+)"/) ?? [];
  const box = svg.match(/ viewBox="[^"]*"/)?.[0] ?? "";
  const label = escapeXml(`${title}. ${description}`);
  const inner = svg.slice(svg.indexOf(">") + 1).replaceAll(` font-family="${FONT}"`, "")
    .replaceAll(/ (?:role|aria-[a-z]+)="[^"]*"/g, ""); // the picture is read as a whole, and its numbers in the table
  return `<svg role="img" aria-label="${label}"${box} style="max-width:${Math.ceil(Number(width))}px"><title>${
    escapeXml(title)
  }</title>${inner}`;
}

function forFile(svg: string, { title, description }: Chart): string {
  const at = svg.indexOf(">") + 1;
  return withColours(`${svg.slice(0, at)}<title>${escapeXml(title)}</title><desc>${escapeXml(description)}</desc>${svg.slice(at)}`);
}

/** Puts the light colours in the places of their names. */
export function withColours(svg: string): string {
  return svg.replace(/var\(--([a-z0-9-]+)\)/g, (name, key) => COLOURS[key]?.[0] ?? name);
}

/** An axis of shares, from 0 to 100 %. */
export function shareAxis(title: string | null): {
  type: "quantitative";
  scale: { domain: [number, number] };
  axis: { format: string; tickCount: number; title: string | null };
} {
  return { type: "quantitative", scale: { domain: [0, 1] }, axis: { format: ".0%", tickCount: 5, title } };
}

/** Text that stands for itself in HTML and XML, in attributes too. */
export function escapeXml(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => names[character]);
}

/** A name as people write it: `facial_expression` → `facial expression`. */
export function plainName(name: string): string {
  return name.replaceAll("_", " ");
}
