// Debian's Chromium for the tests.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function launch() {
  const executablePath = process.env.SERIN_CHROMIUM ?? PLACES.find((place) => existsSync(place));
  if (!executablePath) throw new Error("no Chromium: `apt-get install chromium`, or set SERIN_CHROMIUM to its path");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
}

/** Signs in. A gateway whose ledger is slow for a moment asks to try again, so the button is pressed until it works. */
export async function signIn(page, base, token, path = "") {
  await page.goto(`${base}/console/${path}`);
  const [field, inside, problem] = [page.locator("#token"), page.locator(".side"), page.locator("#token-problem:not(:empty)")];
  await field.waitFor();
  while ((await inside.count()) === 0) {
    await field.fill(token);
    await page.locator("form button[type=submit]").click();
    await inside.or(problem).first().waitFor({ state: "attached" });
  }
}
