import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { join, toFileUrl } from "@std/path";
import type { Browser, BrowserContextOptions, Locator } from "playwright-core";
import { writeReport } from "../../pipeline/report/html_report.ts";
import { makeRun, VIEWS } from "../report/made_run.ts";
import { accessibilityFaults, openPage, startBrowser, type WatchedPage } from "./browser.ts";

/** What a canvas shows, as text. */
function pixels(canvas: Locator): Promise<string> {
  return canvas.evaluate((canvas: unknown) => (canvas as { toDataURL(): string }).toDataURL());
}

Deno.test({ name: "the report in a browser", sanitizeOps: false, sanitizeResources: false }, async (t) => {
  const dir = await Deno.makeTempDir({ prefix: "masp_report_" });
  await makeRun(join(dir, "first"), { pictures: 30 });
  await makeRun(join(dir, "second"), { pictures: 30, wrongEvery: 6 });
  const { path } = await writeReport([join(dir, "first")]);
  const { path: comparison } = await writeReport([join(dir, "first"), join(dir, "second")], { out: join(dir, "both.html") });
  const browser: Browser = await startBrowser();
  await using _closing = {
    [Symbol.asyncDispose]: async () => {
      await browser.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
  const open = (options: BrowserContextOptions = {}, file = path): Promise<WatchedPage> =>
    openPage(browser, toFileUrl(file).href, { offline: true, ...options });

  await t.step("charts with their numbers, tables, and six maps for each picture", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    const charts = await page.locator("figure.chart").all();
    assert(charts.length >= 10, `${charts.length} charts`);
    for (const chart of charts) {
      const title = await chart.locator("figcaption").innerText();
      const box = await chart.locator("svg").first().boundingBox();
      assert(box && box.width > 100 && box.height > 50, `${title} is not to be seen`);
      assert((await chart.locator("svg").first().getAttribute("aria-label") ?? "").length > 10, `${title} has no alternative text`);
      await chart.locator("summary").click();
      assert(await chart.locator("table tbody tr").count() > 0 && await chart.locator("table").isVisible(), `${title} has no numbers`);
    }
    assertMatch(await page.locator(".stats").innerText(), /MASP\s+7\d\.\d %/);
    const card = page.locator(".card").first();
    await card.scrollIntoViewIfNeeded();
    await card.locator(".view canvas").first().waitFor();
    assertEquals(await card.locator("button.view").count(), VIEWS.length);
    const maps = await Promise.all((await card.locator(".view canvas").all()).map(pixels));
    assertEquals(new Set(maps).size, VIEWS.length);
    assertEquals(problems, []);
  });

  await t.step("a map shows on the picture while it is pointed at or reached with Tab; pressed, it stays with its queries", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    const card = page.locator(".card").nth(2);
    const overlay = card.locator(".picture canvas");
    await card.scrollIntoViewIfNeeded();
    const scene = card.getByRole("button", { name: /^scene/ });
    await scene.hover();
    await card.locator(".picture canvas.shown").waitFor();
    const mean = await pixels(overlay);
    await card.locator("h3").hover();
    assertEquals(await card.locator(".picture canvas.shown").count(), 0);
    await scene.focus();
    assertEquals(await pixels(overlay), mean);
    await page.keyboard.press("Enter");
    assertEquals(await scene.getAttribute("aria-pressed"), "true");
    assertEquals(await card.locator(".queries button").count(), 6);
    await card.getByRole("button", { name: "Query 3 of scene" }).focus();
    assertNotEquals(await pixels(overlay), mean);
    await page.keyboard.press("Enter");
    await card.locator("h3").hover();
    assertNotEquals(await pixels(overlay), mean);
    assertEquals(await card.locator(".picture canvas.shown").count(), 1);
    await page.keyboard.press("Escape");
    assertEquals([await card.locator(".queries").isHidden(), await scene.getAttribute("aria-pressed")], [true, "false"]);
    assertEquals(problems, []);
  });

  await t.step("filters leave the pictures that are asked for, and more are shown on demand", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    const shown = () => page.locator(".card:not([hidden])").count();
    assertEquals(await shown(), 24);
    await page.getByRole("button", { name: "Show more" }).click();
    assertEquals(await shown(), 30);
    await page.getByRole("button", { name: /^Wrong/ }).click();
    assertEquals(await shown(), 7);
    await page.locator("select[data-by=label]").selectOption("awe");
    assertEquals(await page.locator(".count").innerText(), `${await shown()} of ${await shown()} shown`);
    assert(await page.locator('.card:not([hidden]):not([data-label="awe"])').count() === 0);
    assertEquals(problems, []);
  });

  await t.step("several runs are compared", async () => {
    await using opened = await open({}, comparison);
    const { page, problems } = opened;
    const table = page.getByRole("region", { name: "Runs side by side" });
    assertEquals(await table.locator("tbody tr").count(), 4);
    assertMatch(await table.innerText(), /first: MASP[\s\S]+second: MASP/);
    assertEquals(problems, []);
  });

  await t.step("nothing sticks out at any width, and axe finds no fault in light and dark", async () => {
    for (const [file, colorScheme] of [[path, "light"], [comparison, "dark"]] as const) {
      await using opened = await open({ colorScheme, viewport: { width: 1440, height: 800 }, reducedMotion: "reduce" }, file);
      const { page, problems } = opened;
      for (const width of [1440, 1024, 700, 340]) {
        await page.setViewportSize({ width, height: 800 });
        assert(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), `${width} pixels wide`);
      }
      assertEquals(await accessibilityFaults(page), [], colorScheme);
      assertEquals(problems, []);
    }
  });
});
