/** Drawing a picture at random: what it shows, where, and in which light. */
import type { Cast, Cues, SpriteView } from "./cues.ts";
import { applyTone, measureTones, paint, type Painting, type PlacedSprite, SIDE, type Tone } from "./paint.ts";
import type { Sprite } from "./sprites.ts";

/** A picture and what it shows. */
export interface DrawnPicture {
  /** What can be seen. */
  cast: Cast;
  /** RGB (S, S, 3). */
  pixels: Uint8Array;
}

/** Options of {@linkcode drawPicture}. */
export interface DrawPictureOptions {
  /** The rule. */
  cues: Cues;
  /** The artwork. */
  artwork: ReadonlyMap<string, Sprite>;
  /** The emotion that most cues shall hint at. */
  emotion: string;
}

/** Share of the cues that are drawn from those that hint at the wanted emotion. */
const FITTING = 0.72;

const COLOURS = [
  ...[[250, 214, 165], [135, 206, 235], [60, 110, 200], [40, 45, 90], [90, 160, 90], [200, 230, 160], [230, 120, 90], [240, 180, 60]],
  ...[[150, 90, 170], [235, 170, 200], [120, 120, 125], [200, 200, 205], [90, 70, 55], [30, 80, 80], [245, 245, 235], [180, 40, 50]],
];

/** Brightness or colorfulness that is aimed at for a level. */
const AIMS: Record<string, [number, number]> = {
  "very low": [0.12, 0.148],
  low: [0.17, 0.34],
  moderate: [0.36, 0.54],
  high: [0.56, 0.74],
  "very high": [0.76, 0.87],
};

const DIRECTIONS = ["down", "right", "diagonal"] as const;

/** Sprites stand in a grid of 3 × 3 cells of this many pixels; a scene takes 2 × 2 of them. */
const CELL = 46;

/**
 * Draws a picture.
 *
 * @param random uniform in [0, 1); called a number of times that depends on what it returns
 */
export function drawPicture(random: () => number, { cues, artwork, emotion }: DrawPictureOptions): DrawnPicture {
  const between = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
  const choose = (view: SpriteView | "brightness" | "colorfulness", taken: readonly string[] = []): string => {
    const all = Object.keys(cues[view]).filter((label) => !taken.includes(label));
    const fitting = all.filter((label) => cues[view][label].emotions.includes(emotion));
    return fitting.length && random() < FITTING ? pick(fitting) : pick(all);
  };
  const shade = (colour: readonly number[]) => colour.map((value) => Math.max(0, Math.min(255, value + between(-25, 25))));

  const direction = DIRECTIONS[between(0, 2)];
  const background = { direction, from: shade(pick(COLOURS)), to: shade(pick(COLOURS)) };
  const cast: Cast = { object: [] };
  if (random() < 0.75) cast.scene = choose("scene");
  if (random() < 0.6) cast.facial_expression = choose("facial_expression");
  if (random() < 0.6) cast.human_action = choose("human_action");
  for (let n = [1, 1, 2, 2, 3][between(0, 4)]; n > 0; n--) cast.object.push(choose("object", cast.object));
  cast.object.sort();

  const sprites: PlacedSprite[] = [];
  let cells = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  if (cast.scene) {
    const column = between(0, 1);
    const row = between(0, 1);
    const size = between(84, 92);
    const isFree = (cell: number) => cell % 3 < column || cell % 3 > column + 1 || cell < 3 * row || cell >= 3 * (row + 2);
    cells = cells.filter(isFree);
    const x = Math.min(SIDE - size, 1 + column * CELL + between(0, 2 * CELL - size));
    const y = Math.min(SIDE - size, 1 + row * CELL + between(0, 2 * CELL - size));
    sprites.push({ icon: pick(cues.scene[cast.scene].icons!), x, y, size, flipped: false });
  }
  const place = (view: SpriteView, label: string, sizes: [number, number]) => {
    const [cell] = cells.splice(Math.floor(random() * cells.length), 1);
    const size = between(...sizes);
    const x = 1 + (cell % 3) * CELL + between(0, CELL - size);
    const y = 1 + Math.floor(cell / 3) * CELL + between(0, CELL - size);
    sprites.push({ icon: pick(cues[view][label].icons!), x, y, size, flipped: between(0, 1) === 1 });
  };
  if (cast.facial_expression) place("facial_expression", cast.facial_expression, [41, 46]);
  if (cast.human_action) place("human_action", cast.human_action, [42, 46]);
  for (const label of cast.object) place("object", label, [38, 45]);

  const aim = (view: "brightness" | "colorfulness") => {
    const [low, high] = AIMS[choose(view)];
    return low + (high - low) * random();
  };
  const aims = { brightness: aim("brightness"), colorfulness: aim("colorfulness") };
  return { cast, pixels: withTones(paint({ background, sprites } satisfies Painting, artwork), aims) };
}

/** Changes a picture's tones so that they measure about what is aimed at. */
function withTones(painted: Int32Array, aims: { brightness: number; colorfulness: number }): Uint8Array {
  const tone: Tone = { saturation: 256, gain: 256, lift: 0 };
  const saturate = (factor: number) => {
    tone.saturation = Math.max(20, Math.min(512, Math.round(factor)));
    const { brightness } = measureTones(applyTone(painted, { ...tone, gain: 256, lift: 0 }));
    const isTooBright = aims.brightness < brightness;
    tone.gain = isTooBright ? Math.max(36, Math.round(256 * aims.brightness / brightness)) : 256;
    tone.lift = isTooBright ? 0 : Math.min(180, Math.round(256 * (aims.brightness - brightness) / (1 - brightness)));
  };
  saturate(256 * aims.colorfulness / Math.max(measureTones(painted).colorfulness, 0.05));
  for (let n = 0; n < 2; n++) { // a change of light changes the colorfulness, too
    saturate(tone.saturation * aims.colorfulness / Math.max(measureTones(applyTone(painted, tone)).colorfulness, 0.03));
  }
  return applyTone(painted, tone);
}
