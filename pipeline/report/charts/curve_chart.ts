import type { MetricsLine } from "../metrics_log.ts";
import { type Chart, plainName, SERIES } from "./chart.ts";

/** Points of a drawn line at most; more are averaged in groups. */
const MOST = 300;

/** A line of a {@linkcode curveChart}. */
export interface Curve {
  /** Its name. */
  name: string;
  /** Lines of a metrics file. */
  metrics: readonly MetricsLine[];
}

/** Names of what a metrics file holds, as they are shown. */
export const CURVE_TITLES: Readonly<Record<string, string>> = {
  loss: "Loss",
  learning_rate: "Learning rate",
  gradient_norm: "Norm of the gradient",
};

/**
 * A measurement over the steps, a line per run. The axis is logarithmic when the values span more than a factor of 100.
 *
 * @returns `undefined` when no run has finite values of it
 */
export function curveChart(curves: readonly Curve[], options: { field: string }): Chart | undefined {
  const { field } = options;
  const lines = curves.map(({ name, metrics }) => ({ name, points: pointsOf(metrics, field) })).filter(({ points }) => points.length > 0);
  if (lines.length === 0) return undefined;
  const all = lines.flatMap(({ points }) => points.map(({ value }) => value));
  const [low, high] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
  const log = low > 0 && high / low > 100 && field !== "learning_rate";
  const names = lines.map(({ name }) => name);
  const title = CURVE_TITLES[field] ?? plainName(field);
  return {
    title,
    description: lines.map(({ name, points }) => {
      const prefix = lines.length > 1 ? `${name}: ` : "";
      return `${prefix}from ${short(points[0].value)} at step ${points[0].step} to ${short(points.at(-1)!.value)} at step ${
        points.at(-1)!.step
      }`;
    }).join("; ") + ".",
    spec: {
      width: 340,
      height: 220,
      autosize: { type: "fit", contains: "padding" },
      data: { values: lines.flatMap(({ name, points }) => averaged(points).map((point) => ({ name, ...point }))) },
      mark: { type: "line", point: all.length <= names.length ? { size: 50 } : false },
      encoding: {
        x: {
          field: "step",
          type: "quantitative",
          scale: { nice: false },
          axis: { title: "step", grid: false, tickCount: 5, format: "~s" },
        },
        y: {
          field: "value",
          type: "quantitative",
          scale: log ? { type: "log" } : { zero: true },
          axis: {
            title: title.toLowerCase(),
            format: field === "learning_rate" || log ? "~g" : "~f",
            ...(log ? { values: tens(low, high) } : { tickCount: 4 }),
          },
        },
        color: {
          field: "name",
          type: "nominal",
          scale: { domain: names, range: names.map((_, i) => SERIES[i % SERIES.length]) },
          ...(names.length < 2 && { legend: null }),
        },
        ...(names.length > 1 &&
          { strokeDash: { field: "name", type: "nominal", scale: { domain: names, range: names.map(dash) }, legend: null } }),
      },
    },
    table: {
      header: ["run", "step", title],
      rows: lines.flatMap(({ name, points }) => thinned(points).map(({ step, value }) => [name, step, short(value)])),
    },
  };
}

interface Point {
  step: number;
  value: number;
}

function pointsOf(metrics: readonly MetricsLine[], field: string): Point[] {
  return metrics.flatMap(({ step, [field]: value }) => typeof value === "number" && Number.isFinite(value) ? [{ step, value }] : []);
}

/** At most {@linkcode MOST} points: means of neighbours. */
function averaged(points: readonly Point[]): Point[] {
  const size = Math.ceil(points.length / MOST);
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const group = points.slice(i * size, (i + 1) * size);
    const mean = (of: (point: Point) => number) => group.reduce((sum, point) => sum + of(point), 0) / group.length;
    return { step: mean(({ step }) => step), value: mean(({ value }) => value) };
  });
}

/** About twenty of the points, the first and the last among them. */
function thinned(points: readonly Point[]): Point[] {
  const every = Math.max(1, Math.ceil(points.length / 20));
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

/** Powers of ten around an interval; every second one where there are many. */
function tens(low: number, high: number): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const every = Math.ceil((last - first) / 6);
  return Array.from({ length: Math.floor((last - first) / every) + 1 }, (_, i) => Number(`1e${first + i * every}`));
}

/** A number with four digits. */
export function short(value: number): string {
  return value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

function dash(_: string, i: number): number[] {
  return [[1, 0], [6, 3], [2, 3], [8, 3, 2, 3]][i % 4];
}
