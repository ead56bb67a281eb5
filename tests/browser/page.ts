import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { join } from "@std/path";
import type { Locator, Page } from "playwright-core";
import { PageHandler } from "../../pipeline/serve/handler.ts";
import { startPageServer } from "../../pipeline/serve/page_server.ts";
import { GOLDEN, PICTURE, pngHeader } from "../serve/support.ts";
import { accessibilityFaults, giveFiles, openPage, startBrowser } from "./browser.ts";
import { startGoldenServer } from "./golden_server.ts";

const picture = (name: string) => join(GOLDEN, "images", name);

/** Waits until the picture that is shown was read, or was not. */
async function settled(page: Page, state: "done" | "failed" = "done"): Promise<void> {
  await page.locator(`body[data-state="${state}"]`).waitFor();
}

/** What a canvas shows, as text. */
function pixels(canvas: Locator): Promise<string> {
  return canvas.evaluate((canvas: unknown) => (canvas as { toDataURL(): string }).toDataURL());
}

Deno.test({ name: "the page in a browser", sanitizeOps: false, sanitizeResources: false }, async (t) => {
  await using server = await startGoldenServer();
  await using browser = await startBrowser().then((browser) => ({ browser, [Symbol.asyncDispose]: () => browser.close() }));
  const open = (options = {}) => openPage(browser.browser, server.url, options);

  await t.step("a dropped picture is answered with emotion, bars, six maps and words", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    await page.locator("#examples button").first().waitFor();
    await giveFiles(page, "drop", PICTURE);
    await settled(page);
    const emotion = await page.locator(".emotion").innerText();
    const names = await page.locator(".bars .name").allInnerTexts();
    assertEquals(names[0], emotion.toLowerCase());
    assertEquals(names.toSorted(), ["amusement", "anger", "awe", "fear"]);
    const shares = await page.locator(".bars .fill").evaluateAll((fills: unknown[]) =>
      (fills as { style: { getPropertyValue(name: string): string } }[]).map(({ style }) => Number(style.getPropertyValue("--share")))
    );
    assertEquals(Math.round(100 * shares.reduce((a, b) => a + b)), 100);
    assertEquals(await page.locator("#cards h3").allInnerTexts(), [
      "Facial expression",
      "Object",
      "Scene",
      "Human action",
      "Brightness",
      "Colorfulness",
    ]);
    const maps = await Promise.all((await page.locator("#cards canvas").all()).map(pixels));
    assertEquals(new Set(maps).size, 6);
    assertMatch(await page.locator("#status").innerText(), new RegExp(`rocket_201x133.jpg: ${names[0]}, `));
    assertEquals(problems, []);
  });

  await t.step("maps show on the picture while they are pointed at, and stay when clicked; queries have their own", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    await giveFiles(page, "paste", PICTURE);
    await settled(page);
    const overlay = page.locator("#overlay");
    const card = page.locator(".card").nth(2);
    assert(await overlay.isHidden());
    await card.locator("button").hover();
    assert(await overlay.isVisible());
    assertMatch(await overlay.getAttribute("aria-label") ?? "", /^Scene · mean: strongest at the .+ with .+ of the attention/);
    const mean = await pixels(overlay);
    await page.locator(".emotion").hover();
    assert(await overlay.isHidden());
    await card.locator("button").click();
    await page.locator(".emotion").hover();
    assertEquals(await pixels(overlay), mean);
    await card.getByRole("radio", { name: "Query 4" }).check();
    await page.locator(".emotion").hover();
    assertNotEquals(await pixels(overlay), mean);
    assertEquals(await page.locator("#legend-text").innerText(), "Scene · query 4");
    const [frame, map] = await Promise.all([page.locator("#picture").boundingBox(), overlay.boundingBox()]);
    assertEquals(frame, map);
    assertEquals(Math.round(100 * frame!.width / frame!.height), Math.round(100 * 201 / 133));
    await page.getByRole("button", { name: "Clear" }).click();
    assert(await overlay.isHidden());
    assertEquals(problems, []);
  });

  await t.step("examples and earlier pictures are shown again on a click, even after a reload", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    await page.locator("#examples button").nth(1).click();
    await settled(page);
    assertMatch(await page.locator(".notes").innerText(), /The data set says anger\./);
    await page.setInputFiles("#file", picture("chelsea_98x70.png"));
    await page.locator("#tried li").nth(1).waitFor();
    await settled(page);
    assertEquals(await page.locator("#file-name").innerText(), "chelsea_98x70.png");
    const answer = await page.locator("#answer").innerText();
    await page.locator("#tried button").nth(1).click();
    assertMatch(await page.locator("#file-name").innerText(), /^anger_/);
    await page.locator("#examples button").nth(1).click(); // not read again
    assertEquals(await page.locator("#tried li").count(), 2);
    await page.reload();
    await settled(page);
    assertEquals(await page.locator("#answer").innerText(), answer);
    assertEquals(await page.locator("#cards canvas").count(), 6);
    assertEquals(problems, []);
  });

  await t.step("bad uploads get a message, and the next picture is read", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    const dir = await Deno.makeTempDir();
    const write = async (name: string, bytes: Uint8Array) => {
      await Deno.writeFile(join(dir, name), bytes);
      return join(dir, name);
    };
    const whole = await Deno.readFile(PICTURE);
    const cases: [string, Uint8Array, RegExp][] = [
      ["notes.png", new TextEncoder().encode("just text"), /“notes\.png” was not read.*looks like text\. Expected JPEG, PNG, .* or TIFF/s],
      ["half.jpg", whole.subarray(0, whole.length / 2), /This JPEG picture cannot be read: .*Save or copy it again/s],
      ["huge.png", pngHeader(20_000, 10_000), /20000 × 10000 pixels, 200 megapixels; at most 100 megapixels/s],
      ["long.bmp", new Uint8Array(6e6), /too large; at most 5 MB/s],
    ];
    for (const [name, bytes, message] of cases) {
      await giveFiles(page, "drop", await write(name, bytes));
      await page.locator(".failure-title", { hasText: name }).waitFor();
      assertMatch(await page.getByRole("alert").innerText(), message);
      assertEquals(await page.locator(".card").count(), 0);
    }
    await giveFiles(page, "drop", PICTURE);
    await settled(page);
    assertEquals(await page.locator("#tried li").count(), 5);
    assertEquals(problems, []);
    await Deno.remove(dir, { recursive: true });
  });

  await t.step("a server without its GPU says so on the page", async () => {
    const about = { model: "m", method: "MASP", gpu: "g", software: true, views: [], categories: [] };
    const reader = { read: () => Promise.reject(new Error("lost")) };
    await using lost = startPageServer(new PageHandler({ reader, about, unavailable: () => "The GPU was lost." }), { port: 0 });
    await using opened = await openPage(browser.browser, lost.url);
    const { page } = opened;
    await page.getByRole("alert").waitFor();
    assertMatch(await page.getByRole("alert").innerText(), /The GPU was lost\. The server ends; start deno task serve again/);
  });

  await t.step("several pictures at once are all read", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    await giveFiles(page, "drop", picture("coffee_420.webp"), picture("china_palette.png"), picture("astronaut_cmyk.jpg"));
    await page.locator("#tried .thumb.done").nth(2).waitFor();
    await settled(page);
    assertEquals(problems, []);
  });

  await t.step("everything can be reached with the keyboard alone", async () => {
    await using opened = await open();
    const { page, problems } = opened;
    page.on("filechooser", (chooser) => void chooser.setFiles(PICTURE)); // from the start: the dialog is then never the browser's own
    await page.locator("#examples button").first().waitFor();
    const focused = () => page.evaluate("document.activeElement.innerText.trim() || document.activeElement.getAttribute('aria-label')");
    const tabTo = async (wanted: RegExp, most = 40) => {
      for (let i = 0; i < most; i++) {
        await page.keyboard.press("Tab");
        if (wanted.test(String(await focused()))) return;
      }
      throw new Error(`Tab never reaches ${wanted}`);
    };
    await tabTo(/^Choose a picture$/, 3);
    await page.keyboard.press("Enter");
    await settled(page);
    await tabTo(/^Show object on the picture$/);
    assert(await page.locator("#overlay").isVisible());
    await page.keyboard.press("Enter");
    assertEquals(await page.locator(".card button").nth(1).getAttribute("aria-pressed"), "true");
    await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    assertEquals(await page.locator("#legend-text").innerText(), "Object · query 2");
    assertEquals(problems, []);
  });

  await t.step("nothing sticks out at any width, and axe finds no fault in light and dark", async () => {
    for (const [width, colorScheme] of [[1440, "light"], [1280, "dark"], [1024, "light"], [700, "dark"], [340, "light"]] as const) {
      await using opened = await open({ colorScheme, viewport: { width, height: 800 }, reducedMotion: "reduce" });
      const { page, problems } = opened;
      assertEquals(await accessibilityFaults(page), [], `empty, ${colorScheme}`);
      await page.setInputFiles("#file", picture("flower_rgba.png"));
      await settled(page);
      assert(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), `${width} pixels wide`);
      assertEquals(await accessibilityFaults(page), [], `result, ${colorScheme}, ${width} pixels wide`);
      await giveFiles(page, "drop", picture("../cases.json"));
      await settled(page, "failed");
      assertEquals(await accessibilityFaults(page), [], `failure, ${colorScheme}`);
      assertEquals(problems, []);
    }
  });
});
