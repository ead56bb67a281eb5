/** A headless Chromium for tests, which is let reach one address alone and tells what went wrong on its pages. */
import { exists } from "@std/fs";
import type { AxeResults } from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Starts Chromium: the one that the environment variable CHROMIUM names, or the system's. */
export async function startBrowser(): Promise<Browser> {
  const wanted = Deno.env.get("CHROMIUM");
  for (const executablePath of wanted ? [wanted] : PLACES) {
    if (!await exists(executablePath)) continue;
    const { chromium } = await import("playwright-core");
    return await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  }
  throw new Error("There is no Chromium. Install it (Debian: apt-get install chromium), or name its program in the variable CHROMIUM.");
}

/** A page with what went wrong on it. */
export interface WatchedPage extends AsyncDisposable {
  /** The page. */
  page: Page;
  /** Errors of the console and of scripts, and requests to other addresses, which were not let through. */
  problems: string[];
}

/**
 * Opens a page.
 *
 * @param url its address; requests that do not begin with it are stopped and recorded
 * @param options of Playwright's context, as `colorScheme` and `viewport`
 */
export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const problems: string[] = [];
  await context.route("**/*", (route) => {
    const asked = route.request().url();
    if (asked.startsWith(url)) return route.continue();
    problems.push(`request to ${asked}`);
    return route.abort();
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("console", (message) => void (["error", "warning"].includes(message.type()) && problems.push(`console: ${message.text()}`)));
  page.on("pageerror", (error) => void problems.push(`script: ${error.message}`));
  await page.goto(url);
  return { page, problems, [Symbol.asyncDispose]: () => context.close() };
}

/** Gives files to a page as a drop on its body, or as pasted. */
export async function giveFiles(page: Page, how: "drop" | "paste", ...paths: string[]): Promise<void> {
  const files = await Promise.all(
    paths.map(async (path) => ({ name: path.split("/").at(-1), data: (await Deno.readFile(path)).toBase64() })),
  );
  await page.evaluate(`{
    const transfer = new DataTransfer();
    for (const { name, data } of ${JSON.stringify(files)}) transfer.items.add(new File([Uint8Array.fromBase64(data)], name));
    const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
    const dropped = ${how === "drop"};
    if (dropped) for (const type of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(type, options));
    else document.body.dispatchEvent(new ClipboardEvent("paste", options));
  }`);
}

/** Faults that axe finds on a page: accessible names, roles, contrast and more. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  const { default: axe } = await import("axe-core");
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate("axe.run()") as AxeResults;
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
}
