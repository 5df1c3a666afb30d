// Browser tests of the console before a real gateway: the Worker in workerd, and the component in wasmtime.
//
// `cargo test -p tests --test console_browser` starts the gateways; see edge.mjs for a run without cargo. States in
// which no test can put a real gateway are those of tests/console.test.mjs. Numbers in brackets are those of the
// list of checks in docs/console.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";

import { launch, signIn } from "../browser.mjs";
import { SECRETS, startGateways } from "./edge.mjs";
import { admin, ask, chat, seed, until } from "./seed.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SCREENS = ["overview", "requests", "usage", "usage?by=consumer,model", "routes", "routes/chat", "providers", "providers/openai", "consumers", "consumers/acme", "consumers/website", "limits", "limits/team-budget", "limits/daily-tokens", "guards", "guards?tab=verdicts", "cache", "playground", "configuration", "configuration?tab=versions", "operators", "operators?tab=audit", "settings", "welcome"];
/** Texts of a value that has no form. */
const SHAPELESS = /\bundefined\b|\bNaN\b|\[object |\bInvalid Date\b|\bInfinity\b/;

let browser;
let gateways;
/** Gateway with traffic, for tests that change nothing. */
let shared;
let requests;
let next = 1;
const open = [];

/** Page before a gateway, and everything that went wrong in it. `mayFail` are the calls that a test lets fail. */
async function visit({ base, context = {}, token = SECRETS.ADMIN_TOKEN, path = "overview", mayFail = /^$/ } = {}) {
  const address = base ?? gateways.bases[next++];
  assert.ok(address, "not enough gateways: raise GATEWAYS");
  const session = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", timezoneId: "UTC", reducedMotion: "reduce", ...context });
  const page = await session.newPage();
  page.setDefaultTimeout(60_000);
  const faults = [];
  const calls = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const isStatus = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isStatus) faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !/^(blob|data):/.test(request.url())) faults.push(`request to ${request.url()}`);
    if (request.url().includes("/admin/v1/")) calls.push(request.url().slice(address.length));
  });
  page.on("response", (response) => {
    const call = `${response.status()} ${response.request().method()} ${response.url().slice(address.length)}`;
    if (response.status() >= 400 && !mayFail.test(call)) faults.push(call);
  });
  open.push(() => session.close());
  if (token) await signIn(page, address, token, path);
  return { base: address, page, session, faults, calls };
}

const settled = (page) => page.waitForFunction(() => document.querySelector("main h1") !== null && document.querySelectorAll("[aria-busy=true]").length === 0);
const goTo = async (it, path) => {
  await it.page.goto(`${it.base}/console/${path}`);
  await settled(it.page);
};
const button = (page, name) => page.getByRole("button", { name, exact: true });
const topDialog = (page) => page.locator("dialog[open]").last();
const current = (base) => ask(base, "GET", "config");

before(async () => {
  [browser, gateways] = await Promise.all([launch(), startGateways()]);
  shared = gateways.bases[0];
  requests = await seed(shared);
});
after(async () => {
  for (const close of open) await close();
  await browser?.close();
  await gateways?.stop();
});

describe("serving", () => {
  test("framing by another page is refused [12]", async () => {
    const it = await visit({ base: shared, token: null, mayFail: /401 GET .*session/ });
    const page = await it.session.newPage();
    await page.setContent(`<iframe src="${it.base}/console/"></iframe>`);
    await page.waitForTimeout(500);
    assert.equal(await page.frames()[1].locator("#token").count(), 0);
  });

  test("missing chunk after a deployment loads the page again, once [45]", async () => {
    const it = await visit({ base: shared, mayFail: /404 GET .*usage-|401 GET .*session/ });
    let loads = 0;
    it.page.on("load", () => (loads += 1));
    await it.page.route(/assets\/usage-.*\.js/, (route) => (loads === 0 ? route.fulfill({ status: 404, body: "" }) : route.continue()));
    await it.page.getByRole("link", { name: "Usage", exact: true }).click();
    await it.page.getByRole("heading", { name: "Usage", exact: true }).waitFor();
    assert.equal(loads, 1);
    assert.deepEqual(it.faults, []);
  });
});

describe("session", () => {
  test("wrong token is explained and sets no cookie [5]", async () => {
    const it = await visit({ token: null });
    await it.page.goto(`${it.base}/console/`);
    await it.page.locator("#token").fill("no");
    await it.page.keyboard.press("Enter");
    await it.page.getByRole("alert").filter({ hasText: "not valid" }).waitFor();
    assert.deepEqual(await it.session.cookies(), []);
    for (let tries = 0; tries < 10; tries++) await admin(it.base, "POST", "session", { token: "no" });
    await it.page.locator("#token").fill("no");
    await it.page.keyboard.press("Enter");
    await it.page.getByText("Try again in").waitFor();
  });

  test("right token gives a cookie that no script can read [6], and sign-out ends it [8]", async () => {
    const it = await visit({ base: shared, mayFail: /401 GET .*session/ });
    const [cookie] = await it.session.cookies();
    assert.equal(cookie.httpOnly, true);
    assert.equal(cookie.sameSite, "Strict");
    const seen = await it.page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage));
    assert.equal(seen, "{}{}");
    await button(it.page, "Sign out").click();
    await it.page.locator("#token").waitFor();
    const again = await fetch(`${it.base}/admin/v1/session`, { headers: { cookie: `${cookie.name}=${cookie.value}` } });
    assert.equal(again.status, 401);
    assert.deepEqual(it.faults, []);
  });

  test("viewer and editor see what they may not do, with the reason [14] [15]", async () => {
    const it = await visit({ base: shared, token: SECRETS.PROMETHEUS_TOKEN, path: "consumers", mayFail: /401 GET .*session/ });
    const add = button(it.page, "Add consumer");
    assert.equal(await add.getAttribute("aria-disabled"), "true");
    assert.match(await add.getAttribute("title"), /needs the role editor; you are viewer/);
    const editor = await visit({ base: shared, token: SECRETS.GRACE_TOKEN, path: "routes/chat", mayFail: /401 GET .*session/ });
    await editor.page.locator("input[type=range]").nth(1).fill("25");
    assert.equal(await button(editor.page, "Review and publish").getAttribute("aria-disabled"), "true");
    assert.deepEqual([...it.faults, ...editor.faults], []);
  });

  for (const [role, token] of [["viewer", SECRETS.PROMETHEUS_TOKEN], ["editor", SECRETS.GRACE_TOKEN]]) {
    test(`every screen works for the role ${role}`, async () => {
      const it = await visit({ base: shared, token, mayFail: /401 GET .*session/ });
      for (const path of SCREENS) await goTo(it, path);
      assert.deepEqual(it.faults, []);
    });
  }

  test("session that ends keeps the form [9]", async () => {
    const it = await visit({ path: "routes", mayFail: /401/ });
    await button(it.page, "Add route").click();
    await it.page.getByLabel("Name").fill("kept");
    await ask(it.base, "DELETE", "sessions?operator=admin");
    await topDialog(it.page).getByLabel("Models").fill("gpt-4.1");
    await until("the session ends", async () => (await it.page.evaluate(() => fetch("/admin/v1/session").then((answer) => answer.status))) === 401);
    await button(it.page, "Review changes").click();
    await it.page.getByText("Your session has ended").waitFor();
    await it.page.locator("#token").fill(SECRETS.ADMIN_TOKEN);
    await it.page.keyboard.press("Enter");
    await it.page.getByText("Your session has ended").waitFor({ state: "detached" });
    assert.equal(await it.page.getByLabel("Name").inputValue(), "kept");
    assert.deepEqual(it.faults, []);
  });
});

describe("every screen", () => {
  test("has no failed call, no error, and no value without a form", async () => {
    const it = await visit({ base: shared, mayFail: /401 GET .*session/ });
    const found = [];
    for (const path of SCREENS) {
      const before = it.faults.length;
      await goTo(it, path);
      const text = await it.page.locator("body").innerText();
      const shapeless = SHAPELESS.exec(text);
      if (shapeless) found.push(`${path}: ${text.slice(Math.max(0, shapeless.index - 60), shapeless.index + 40)}`);
      const columns = await it.page.evaluate(() => [...document.querySelectorAll("main table")].flatMap((table) => {
        const heads = [...table.querySelectorAll("thead th")].map((head) => head.innerText.trim());
        const rows = [...table.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.innerText.trim() + (cell.querySelector("svg,button,input,meter") ? "#" : "")));
        return heads.flatMap((head, index) => (head && rows.length > 1 && rows.every((cells) => cells[index] === "") ? [`${table.caption?.innerText}: ${head}`] : []));
      }));
      found.push(...columns.map((column) => `${path}: empty column ${column}`), ...it.faults.slice(before).map((fault) => `${path}: ${fault}`));
    }
    assert.deepEqual(found, []);
  });

  test("numbers of the overview are those of the API", async () => {
    const it = await visit({ base: shared, mayFail: /401 GET .*session/ });
    await goTo(it, "requests");
    await it.page.locator(".histogram").waitFor();
    const listed = (await ask(it.base, "GET", "requests?limit=100")).data;
    await it.page.getByText(`${listed.length} requests`).first().waitFor();
    for (const outcome of ["Answered", "Refused", "Blocked", "Failed"]) await it.page.locator(".histogram + .row").getByText(outcome).waitFor();
    assert.deepEqual(it.faults, []);
  });
});
