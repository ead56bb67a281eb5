/** Progress on the terminal: a bar where there is one, otherwise a line every few seconds. */
import cliProgress from "cli-progress";

/** Seconds between lines where there is no terminal. */
const EVERY_SECONDS = 5;

/** Shows how far something is; dispose of it at its end. */
export class Progress implements Disposable {
  readonly #bar?: cliProgress.SingleBar;
  readonly #label: string;
  readonly #total: number;
  #first?: { done: number; at: number };
  #printed = performance.now();
  #complete = false;

  /** @param label what is done; @param total of how many */
  constructor(label: string, total: number) {
    this.#label = label;
    this.#total = total;
    if (Deno.stderr.isTerminal()) {
      const format = "{label} |{bar}| {value}/{total} {note} {left}";
      this.#bar = new cliProgress.SingleBar({ format, hideCursor: true, clearOnComplete: false }, cliProgress.Presets.shades_classic);
      this.#bar.start(total, 0, { label, note: "", left: "" });
    }
  }

  /** Tells how many are done, with a note as "loss 0.42". */
  update(done: number, note = ""): void {
    this.#first ??= { done, at: performance.now() };
    const seconds = (performance.now() - this.#first.at) / 1000;
    const rate = seconds > 0 ? (done - this.#first.done) / seconds : 0;
    const left = rate > 0 && done < this.#total
      ? `${rate.toFixed(rate < 10 ? 1 : 0)}/s, ${duration((this.#total - done) / rate)} left`
      : "";
    if (this.#bar) this.#bar.update(done, { note, left });
    else if (performance.now() - this.#printed > EVERY_SECONDS * 1000 || (done === this.#total && !this.#complete)) {
      this.#printed = performance.now();
      this.#complete = done === this.#total;
      console.log(`${this.#label} ${done}/${this.#total} ${note} ${left}`.trimEnd());
    }
  }

  /** Leaves the bar as it stands. */
  [Symbol.dispose](): void {
    this.#bar?.stop();
  }
}

/** 75 → "1:15". */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
