/** The rule by which the demo's pictures are drawn and labelled: what each sprite is called, and which emotions it hints at. */
import { z } from "zod";
import { levelOf } from "../data/annotation.ts";
import { MaspError } from "../errors.ts";
import { readJson } from "../read_json.ts";

/** Aspects that sprites show, with the names that EmoSet's annotations have. */
const SPRITE_VIEWS = ["scene", "object", "facial_expression", "human_action"] as const;

/** An aspect that sprites show. */
export type SpriteView = typeof SPRITE_VIEWS[number];

const cueSchema = z.object({ icons: z.array(z.string()).optional(), emotions: z.array(z.string()) });
const labels = z.record(z.string(), cueSchema);
const cuesSchema = z.object({
  emotions: z.array(z.string()).min(1),
  scene: labels,
  object: labels,
  facial_expression: labels,
  human_action: labels,
  brightness: labels,
  colorfulness: labels,
});

/** `demo/recipe/cues.json`: for every view its labels; for every label the sprites that show it and the emotions that it hints at. */
export type Cues = z.infer<typeof cuesSchema>;

/** What can be seen in a picture. */
export interface Cast {
  /** The scene, when there is one. */
  scene?: string;
  /** All objects. */
  object: string[];
  /** The face's expression, when there is one. */
  facial_expression?: string;
  /** What the person does, when there is one. */
  human_action?: string;
}

/** Measured tones of a picture, 0…1 in steps of 0.1. */
export interface Tones {
  /** Mean luma. */
  brightness: number;
  /** Hasler and Süsstrunk's colorfulness over 100. */
  colorfulness: number;
}

/**
 * Reads the rule.
 *
 * @throws {MaspError} when the file is missing or is no such rule
 */
export async function loadCues(path: string): Promise<Cues> {
  const result = cuesSchema.safeParse(await readJson(path));
  if (!result.success) throw new MaspError(`"${path}" is no table of cues:\n${z.prettifyError(result.error)}`);
  return result.data;
}

/**
 * The emotion that most cues of a picture hint at. Every object is a cue of its own; brightness and colorfulness count with their level.
 *
 * @returns the emotion, or `undefined` when two share the lead or fewer than two views name the first
 */
export function emotionOf(cues: Cues, cast: Cast, tones: Tones): string | undefined {
  const named: [keyof Cues, string | undefined][] = [
    ["scene", cast.scene],
    ["facial_expression", cast.facial_expression],
    ["human_action", cast.human_action],
    ...cast.object.map((name) => ["object", name] as [keyof Cues, string]),
    ["brightness", levelOf(tones.brightness)],
    ["colorfulness", levelOf(tones.colorfulness)],
  ];
  const votes = new Map(cues.emotions.map((emotion) => [emotion, { count: 0, views: new Set<string>() }]));
  for (const [view, label] of named) {
    if (label === undefined) continue;
    for (const emotion of (cues[view] as Record<string, { emotions: string[] }>)[label].emotions) {
      const vote = votes.get(emotion)!;
      vote.count++;
      vote.views.add(view);
    }
  }
  const [first, second] = [...votes].sort(([, a], [, b]) => b.count - a.count);
  const isClear = first[1].count > (second?.[1].count ?? 0) && first[1].views.size >= 2;
  return isClear ? first[0] : undefined;
}
