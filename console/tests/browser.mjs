// Debian's Chromium for the tests.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function launch() {
  const executablePath = process.env.SERIN_CHROMIUM ?? PLACES.find((place) => existsSync(place));
  if (!executablePath) throw new Error("no Chromium: `apt-get install chromium`, or set SERIN_CHROMIUM to its path");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
}

export async function signIn(page, base, token = "owner", path = "") {
  await page.goto(`${base}/console/${path}`);
  await page.locator("#token").fill(token);
  await page.locator("form button[type=submit]").click();
  await page.locator(".side").waitFor({ state: "attached" });
}
