// Debian's Chromium for the tests.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function launch() {
  const executablePath = process.env.SERIN_CHROMIUM ?? PLACES.find((place) => existsSync(place));
  if (!executablePath) throw new Error("no Chromium: `apt-get install chromium`, or set SERIN_CHROMIUM to its path");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
}

/** Signs in. A gateway whose store or ledger is slow for a moment asks to try again, so each button is pressed until it works. */
export async function signIn(page, base, token, path = "") {
  await page.goto(`${base}/console/${path}`);
  const [field, again, inside] = [page.locator("#token"), page.locator(".door-card > button"), page.locator(".side")];
  const problem = page.locator("#token-problem:not(:empty)");
  while ((await inside.count()) === 0) {
    await field.or(again).or(inside).first().waitFor({ state: "attached" });
    if ((await again.count()) > 0) await again.click();
    if ((await field.count()) === 0) continue;
    await field.fill(token);
    await page.locator("form button[type=submit]").click();
    await inside.or(problem).first().waitFor({ state: "attached" });
  }
}
