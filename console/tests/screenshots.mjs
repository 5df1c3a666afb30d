// Takes the pictures of docs/console.md: every screen in both themes. `node tests/screenshots.mjs [DIRECTORY] [SCREEN …]`
//
// The gateway is real and a minute old, so the numbers of usage, which need weeks, are those of data.mjs.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { launch, signIn } from "./browser.mjs";
import { usage } from "./data.mjs";
import { SECRETS, startGateways } from "./edge.mjs";
import { seed } from "./seed.mjs";

const [directory = join(dirname(fileURLToPath(import.meta.url)), "../../docs/console"), ...only] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
const { bases: { pictures: base }, stop } = await startGateways(["pictures"]);
const requests = await seed(base);
const browser = await launch();

const darkroom = await browser.newPage();

/** Writes what the page shows as WebP, which Chromium encodes itself. */
async function take(page, name) {
  const png = (await page.screenshot()).toString("base64");
  const webp = await darkroom.evaluate(async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.82).split(",")[1];
  }, png);
  writeFileSync(join(directory, `${name}.webp`), Buffer.from(webp, "base64"));
  if (process.env.SERIN_PNG) writeFileSync(join(directory, `${name}.png`), Buffer.from(png, "base64"));
}

/** Answers a call for usage with the numbers of weeks. */
function answerUsage(route) {
  const query = new URL(route.request().url()).searchParams;
  const by = (query.get("by") ?? "").split(",").filter(Boolean);
  const filters = Object.fromEntries(["route", "consumer", "group", "model", "provider"].map((name) => [name, query.getAll(name)]));
  const [from, to] = ["from", "to"].map((name) => Date.parse(query.get(name)) / 1000);
  const data = usage({ from, to, step: query.get("step"), by, filters });
  return route.fulfill({ contentType: "application/json", body: JSON.stringify({ from: query.get("from"), to: query.get("to"), step: query.get("step"), by, data }) });
}

const SCREENS = {
  "sign-in": null,
  welcome: { path: "welcome" },
  overview: { path: "overview", charts: 3 },
  providers: { path: "providers" },
  "provider-add": { path: "providers", act: async (page) => { await page.getByRole("button", { name: /Add provider|添加服务商/ }).first().click(); await page.waitForTimeout(300); } },
  provider: { path: "providers/local" },
  routes: { path: "routes" },
  canary: { path: "routes/chat", act: async (page) => { await page.locator("input[type=range]").nth(1).fill("25"); } },
  consumers: { path: "consumers" },
  consumer: { path: "consumers/support-bot" },
  limits: { path: "limits" },
  guards: { path: "guards" },
  cache: { path: "cache" },
  usage: { path: "usage?by=provider&then=model", charts: 1 },
  requests: { path: "requests?live=on" },
  request: { path: () => `requests?id=${requests.fallback.id}` },
  configuration: { path: "configuration", act: async (page) => { await page.locator(".editor:not([hidden])").waitFor(); await page.waitForTimeout(300); } },
  versions: { path: "configuration?tab=versions" },
  publish: { path: "routes/chat", act: async (page) => { await page.locator("input[type=range]").nth(1).fill("25"); await page.getByRole("button", { name: /Review and publish|查看并发布/ }).click(); await page.locator(".changes").waitFor(); } },
  operators: { path: "operators" },
  audit: { path: "operators?tab=audit" },
  playground: { path: "playground", act: async (page) => { await page.locator("textarea").nth(1).fill("What is a canary release?"); await page.getByRole("button", { name: /^Send$|^发送$/ }).click(); await page.locator(".waterfall").waitFor(); } },
  settings: { path: "settings" },
};

for (const theme of ["light", "dark"]) {
  const language = process.env.SERIN_LANGUAGE ?? "en";
  const context = await browser.newContext({ viewport: { width: Number(process.env.SERIN_WIDTH ?? 1280), height: 800 }, colorScheme: theme, locale: language === "zh" ? "zh-CN" : "en-GB", timezoneId: "UTC", reducedMotion: "reduce" });
  const page = await context.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) console.log(`${message.type()}: ${message.text()}`); });
  page.on("pageerror", (error) => console.log(`page error: ${error.message}`));
  await page.goto(`${base}/console/`);
  await page.locator("#token").waitFor();
  if (only.length === 0 || only.includes("sign-in")) await take(page, `sign-in-${theme}`);
  await page.route(/\/admin\/v1\/usage\?/, answerUsage);
  await signIn(page, base, SECRETS.ADMIN_TOKEN);
  for (const [name, screen] of Object.entries(SCREENS)) {
    if (screen === null || (only.length > 0 && !only.includes(name))) continue;
    const path = typeof screen.path === "function" ? screen.path() : screen.path;
    await page.goto(`${base}/console/${path}`);
    await page.locator("main h1").waitFor();
    await page.waitForFunction(() => document.querySelectorAll("[aria-busy=true]").length === 0, undefined, { timeout: 8000 }).catch(() => console.log(`${name}: still busy`));
    if (screen.charts) await page.waitForFunction((n) => document.querySelectorAll("canvas").length >= n, screen.charts);
    if (screen.act) await screen.act(page);
    await page.waitForTimeout(250);
    await take(page, `${name}-${theme}`);
  }
  await context.close();
}
await browser.close();
await stop();
