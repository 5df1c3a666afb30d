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

describe("routes and configuration", () => {
  test("slider to 75/25 publishes both weights [21], and the second of two editors loses nothing [22]", async () => {
    const it = await visit({ path: "routes/chat", mayFail: /401 GET .*session|412 PUT/ });
    await settled(it.page);
    const slider = it.page.locator("input[type=range]").nth(1);
    await slider.fill("25");
    assert.equal(await it.page.locator("input[type=number]").first().inputValue(), "75");
    await button(it.page, "Review and publish").click();
    await it.page.getByText("routes.chat.targets[0].weight").waitFor();
    await button(it.page, "Publish").click();
    await it.page.getByText("Version 1 is in force.", { exact: false }).first().waitFor();
    assert.deepEqual((await current(it.base)).routes[0].targets.map((target) => target.weight), [75, 25]);
    assert.equal((await ask(it.base, "GET", "config/versions?limit=1")).data[0].note, "chat: 75/25");
    await it.page.locator("table.compare").first().getByText("75%").first().waitFor();
    await goTo(it, "routes/chat");
    await slider.fill("30");
    await button(it.page, "Review and publish").click();
    await it.page.getByText("routes.chat.targets[1].weight").waitFor();
    const theirs = await current(it.base);
    theirs.limits[1].requests.max = 60;
    assert.equal((await admin(it.base, "PUT", "config?note=fewer%20bursts", theirs, SECRETS.ADA_TOKEN, { "if-match": "*" })).status, 200);
    await button(it.page, "Publish").click();
    await it.page.getByText("ada was faster", { exact: false }).waitFor();
    await it.page.getByText("limits.bursts.requests.max").waitFor();
    await button(it.page, "Publish on top of theirs").click();
    await it.page.getByText("Version 3 is in force.", { exact: false }).first().waitFor();
    const document = await current(it.base);
    assert.equal(document.limits[1].requests.max, 60);
    assert.deepEqual(document.routes[0].targets.map((target) => target.weight), [70, 30]);
    assert.deepEqual(it.faults, []);
  });

  test("route is added by the form [20], serves, and is found by its model", async () => {
    const it = await visit({ path: "routes", mayFail: /401 GET .*session|422 PUT/ });
    await button(it.page, "Add route").click();
    const form = topDialog(it.page);
    await form.getByLabel("Name").fill("canary");
    await form.getByLabel("Models").fill("~(");
    await button(it.page, "Review changes").click();
    await it.page.getByText("would not be valid", { exact: false }).waitFor();
    await button(topDialog(it.page), "Back").click();
    await form.getByRole("alert").filter({ hasText: "regular expression" }).waitFor();
    await form.getByLabel("Models").fill("gpt-4.1\ngpt-4.1-*");
    await form.getByLabel("Weight").fill("90");
    await button(form, "Add target").first().click();
    await form.getByLabel("Provider").nth(1).selectOption("deepseek");
    await form.getByLabel("Model there").nth(1).fill("deepseek-chat");
    await button(it.page, "Review changes").click();
    await button(it.page, "Publish").click();
    await it.page.getByRole("heading", { name: "canary" }).waitFor();
    assert.deepEqual((await current(it.base)).routes.at(-1), { id: "canary", models: ["gpt-4.1", "gpt-4.1-*"], targets: [{ provider: "openai", weight: 90 }, { provider: "deepseek", weight: 10, model: "deepseek-chat" }] });
    await until("the route serves", async () => (await chat(it.base, { model: "gpt-4.1-mini" })).status === 200);
    await goTo(it, "routes");
    await it.page.getByLabel("Model", { exact: true }).fill("gpt-4.1-mini");
    await button(it.page, "Find").click();
    await it.page.locator("a.tag", { hasText: "canary" }).first().waitFor();
    assert.deepEqual(it.faults, []);
  });

  test("invalid JSON and an invalid field are marked, and cannot be published [24]", async () => {
    const it = await visit({ base: shared, path: "configuration", mayFail: /401 GET .*session|422 PUT/ });
    const editor = it.page.locator(".editor .cm-content");
    await editor.waitFor();
    await editor.click();
    await it.page.keyboard.press("Control+Home");
    await it.page.keyboard.insertText("x");
    await it.page.getByText("Not valid JSON").waitFor();
    await it.page.keyboard.press("Backspace");
    await it.page.keyboard.press("ArrowRight");
    await it.page.keyboard.insertText('"colour": "red",');
    await it.page.getByText("1 problem", { exact: true }).first().waitFor();
    assert.equal(await button(it.page, "Review changes").getAttribute("aria-disabled"), "true");
    await it.page.locator(".cm-lint-marker-error").first().waitFor();
    assert.deepEqual(it.faults, []);
  });

  test("TOML is pasted, published, and version 0 restored [23] [25]", async () => {
    const it = await visit({ path: "configuration", mayFail: /401 GET .*session/ });
    const deployed = await current(it.base);
    await it.page.locator(".editor .cm-content").waitFor();
    await button(it.page, "Paste TOML").click();
    await topDialog(it.page).getByLabel("gateway.toml").fill('[[providers]]\nid = "openai"\nkeys = ["secret:OPENAI_API_KEY"]\n[[routes]]\nid = "chat"\nmodels = ["gpt-4o"]\ntargets = [{ provider = "openai" }]\n');
    await button(it.page, "Use as draft").click();
    await it.page.getByText(/^Valid, /).waitFor();
    await button(it.page, "Review changes").click();
    await button(it.page, "Publish").click();
    await it.page.getByText("Version 1 is in force.", { exact: false }).first().waitFor();
    assert.equal((await current(it.base)).routes.length, 1);
    await goTo(it, "configuration?tab=versions&version=0");
    await button(it.page, "Restore").click();
    await button(topDialog(it.page), "Restore").click();
    await it.page.getByText("Version 2 is in force.", { exact: false }).first().waitFor();
    assert.deepEqual(await current(it.base), deployed);
    await goTo(it, "operators?tab=audit");
    await it.page.getByText("config.restore").first().waitFor();
    assert.deepEqual(it.faults, []);
  });
});

describe("providers", () => {
  test("provider is added after a test, and answers [17] [18]", async () => {
    const it = await visit({ path: "providers", mayFail: /401 GET .*session/ });
    const address = (await current(it.base)).providers.find((provider) => provider.id === "local").base_url;
    await button(it.page, "Add provider").first().click();
    await topDialog(it.page).getByRole("button", { name: "OpenAI-compatible" }).first().click();
    const form = topDialog(it.page);
    await form.getByLabel("Name", { exact: true }).fill("own");
    await form.getByLabel("Base URL").fill(address);
    await form.getByLabel("Model", { exact: true }).fill("any-fail-401");
    await button(form, "Run test").click();
    await form.getByText("Failed: key_refused").waitFor();
    await form.getByLabel("Model", { exact: true }).fill("any");
    await button(form, "Run test").click();
    await form.getByText("Answered").waitFor();
    await button(form, "Review changes").click();
    await button(it.page, "Publish").click();
    await it.page.getByRole("heading", { name: "own" }).waitFor();
    assert.deepEqual((await current(it.base)).providers.at(-1), { id: "own", kind: "openai-compatible", base_url: address });
    assert.deepEqual(it.faults, []);
  });
});

describe("consumers and limits", () => {
  test("key is shown once, calls, is rolled, and is gone after closing [26] [27] [28] [30]", async () => {
    const it = await visit({ path: "consumers", mayFail: /401 GET .*session|400 POST .*keys/ });
    await button(it.page, "Add consumer").click();
    await topDialog(it.page).getByLabel("Name").fill("newcomer");
    await button(it.page, "Create").click();
    await it.page.getByRole("heading", { name: "newcomer" }).waitFor();
    await button(it.page, "Add key").click();
    await button(topDialog(it.page), "Issue a key").last().click();
    const key = await it.page.locator("[data-secret]").innerText();
    assert.match(key, /^sk-serin-/);
    assert.equal(await button(it.page, "Done").getAttribute("aria-disabled"), "true");
    await it.page.getByLabel("I have saved this key.").check();
    await button(it.page, "Done").click();
    await it.page.getByText(`…${key.slice(-4)}`).waitFor();
    assert.equal((await it.page.content()).includes(key), false);
    assert.equal(await it.page.evaluate(() => JSON.stringify(localStorage) + JSON.stringify(sessionStorage)), "{}{}");
    const { status, id } = await chat(it.base, {}, key);
    assert.equal(status, 200);
    await until("the request is in the log", async () => (await ask(it.base, "GET", "requests?consumer=newcomer")).data.some((row) => row.id === id));
    await goTo(it, "requests?consumer=newcomer");
    await it.page.getByText("1 request", { exact: true }).first().waitFor();
    await goTo(it, "usage?by=consumer&range=1h");
    await it.page.getByText("newcomer").first().waitFor();
    await goTo(it, "consumers/newcomer");

    await button(it.page, "Roll").click();
    await button(topDialog(it.page), "Roll").click();
    await it.page.getByLabel("I have saved this key.").check();
    await button(it.page, "Done").click();
    await it.page.waitForFunction(() => document.querySelectorAll("tbody code").length === 2);

    await button(it.page, "Add key").click();
    await button(topDialog(it.page), "Adopt an existing key").first().click();
    await topDialog(it.page).getByLabel("Existing key").fill("short");
    await button(topDialog(it.page), "Adopt an existing key").last().click();
    await topDialog(it.page).getByRole("alert").filter({ hasText: "16 to 512" }).waitFor();
    await topDialog(it.page).getByLabel("Existing key").fill("sk-one-that-callers-have");
    await button(topDialog(it.page), "Adopt an existing key").last().click();
    await it.page.getByText("…have").waitFor();

    await button(it.page, "Revoke").first().click();
    await button(topDialog(it.page), "Revoke").click();
    await it.page.waitForFunction(() => document.querySelectorAll("tbody code").length === 2);
    assert.deepEqual(it.faults, []);
  });

  test("balance is adjusted [32]", async () => {
    const it = await visit({ token: null, mayFail: /401 GET .*session/ });
    await seed(it.base);
    await signIn(it.page, it.base, SECRETS.ADMIN_TOKEN, "limits/daily-tokens");
    await settled(it.page);
    await it.page.getByRole("button", { name: "Adjust acme in daily-tokens" }).click();
    await topDialog(it.page).getByLabel("Add").fill("100000");
    await button(topDialog(it.page), "Adjust").click();
    await it.page.getByText("The balance is adjusted.").waitFor();
    assert.equal((await ask(it.base, "GET", "limits/daily-tokens/acme")).quotas[0].max, 100_200);
    assert.deepEqual(it.faults, []);
  });

  test("consumers are read in pages and found by the beginning of their name [43]", async () => {
    const it = await visit({ token: null, mayFail: /401 GET .*session/ });
    for (let first = 0; first < 410; first += 10) await Promise.all(Array.from({ length: 10 }, (_, index) => ask(it.base, "POST", "consumers", { id: `team-${String(first + index).padStart(5, "0")}`, group: "trial" })));
    await signIn(it.page, it.base, SECRETS.ADMIN_TOKEN, "consumers");
    await settled(it.page);
    await button(it.page, "Show 200 more").click();
    await it.page.getByText("400 consumers").waitFor();
    await it.page.locator(".virtual").evaluate((frame) => frame.scrollTo(0, frame.scrollHeight));
    await it.page.getByText("team-00390").first().waitFor();
    assert.ok((await it.page.locator("tbody tr").count()) < 60);
    await it.page.getByLabel("Search").fill("team-0040");
    await it.page.getByText("team-00409").first().waitFor();
    assert.equal(await it.page.locator("tbody tr").count(), 10);
    assert.deepEqual(it.faults, []);
  });
});

describe("requests and playground", () => {
  test("live tail shows a call, and pauses [36] [48]", async () => {
    const it = await visit({ path: "requests?live=on", mayFail: /401 GET .*session/ });
    await it.page.locator(".live").waitFor();
    await it.page.waitForTimeout(300);
    await chat(it.base);
    await it.page.getByText(/^1 request(?!s)/).first().waitFor();
    await button(it.page, "Pause").click();
    await chat(it.base);
    await it.page.waitForTimeout(1500);
    assert.equal(await it.page.getByText("2 requests").count(), 0);
    assert.deepEqual(it.faults, []);
  });

  test("waterfall shows both attempts with reasons [34]", async () => {
    const it = await visit({ base: shared, mayFail: /401 GET .*session/ });
    await goTo(it, `requests?id=${requests.fallback.id}`);
    const drawer = topDialog(it.page);
    await drawer.locator(".attempt").nth(1).waitFor();
    assert.match(await drawer.innerText(), /5xx 503[\s\S]*local \/ qwq-32b/);
    await it.page.keyboard.press("Escape");
    await it.page.waitForFunction(() => !window.location.search.includes("id="));
    assert.deepEqual(it.faults, []);
  });

  test("every outcome has a request that opens", async () => {
    const it = await visit({ base: shared, mayFail: /401 GET .*session/ });
    for (const [name, { id }] of Object.entries(requests)) {
      await goTo(it, `requests?id=${id}`);
      await topDialog(it.page).locator("dl.pairs").waitFor();
      assert.doesNotMatch(await topDialog(it.page).innerText(), SHAPELESS, name);
    }
    assert.deepEqual(it.faults, []);
  });

  test("filters stay over reload and back [47]", async () => {
    const it = await visit({ base: shared, path: "requests", mayFail: /401 GET .*session/ });
    await settled(it.page);
    await it.page.getByLabel("Outcome").selectOption("failed");
    await it.page.waitForFunction(() => window.location.search.includes("outcome=failed"));
    await it.page.reload();
    await settled(it.page);
    assert.equal(await it.page.getByLabel("Outcome").inputValue(), "failed");
    await it.page.getByText("1 request", { exact: true }).waitFor();
    await it.page.getByRole("link", { name: "Usage", exact: true }).click();
    await it.page.goBack();
    assert.equal(await it.page.getByLabel("Outcome").inputValue(), "failed");
    assert.deepEqual(it.faults, []);
  });

  test("playground streams, shows attempts and cost, keeps hostile output as text, and stops [38] [39]", async () => {
    const it = await visit({ path: "playground", mayFail: /401 GET .*session/ });
    // The simulated provider repeats the question.
    await it.page.getByLabel("Question").fill('**bold** <img src=x onerror="window.hurt=1"><script>window.hurt=1</script> [a](javascript:window.hurt=1) \u202Eesrever');
    await button(it.page, "Send").click();
    await it.page.locator(".attempt").waitFor();
    await it.page.locator(".prose strong", { hasText: "bold" }).waitFor();
    assert.equal(await it.page.evaluate(() => window.hurt), undefined);
    assert.equal(await it.page.locator(".prose img, .prose script, .prose a").count(), 0);
    await it.page.getByText(/^\$0\.0/).first().waitFor();
    await button(it.page, "Headers").click();
    await it.page.getByText(/x-serin-target: (openai|deepseek)\//).waitFor();
    await it.page.getByLabel("Question").fill("many words ".repeat(400));
    await button(it.page, "Send").click();
    await button(it.page, "Stop").click();
    await button(it.page, "Stop").waitFor({ state: "detached" });
    assert.deepEqual(it.faults, []);
  });

  test("sums of the usage screen are those of the API, and CSV has no formula [37]", async () => {
    const it = await visit({ base: shared, mayFail: /401 GET .*session/ });
    const isAnswer = (one) => one.url().includes("/admin/v1/usage?by=consumer");
    const [answer] = await Promise.all([it.page.waitForResponse(isAnswer), goTo(it, "usage?by=consumer&range=24h")]);
    // Chromium may drop the body of an answer once the page has moved on, so the page asks again.
    const { data } = await it.page.evaluate((url) => fetch(url).then((again) => again.json()), answer.url());
    const sum = data.reduce((total, row) => total + row.requests, 0);
    assert.ok(sum >= 10, `${sum} requests`);
    await it.page.locator(".tile .value").first().filter({ hasText: String(sum) }).waitFor();
    const [download] = await Promise.all([it.page.waitForEvent("download"), button(it.page, "CSV").click()]);
    const csv = readFileSync(await download.path(), "utf8");
    assert.ok(csv.split("\r\n").length > 2);
    assert.doesNotMatch(csv.replace("\ufeff", ""), /(^|,)[=+@]/m);
    assert.deepEqual(it.faults, []);
  });

  test("hidden page does not poll [48]", async () => {
    const it = await visit({ base: shared, mayFail: /401 GET .*session/ });
    await settled(it.page);
    await it.page.evaluate(() => Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true }));
    await it.page.waitForTimeout(300);
    const before = it.calls.length;
    await it.page.waitForTimeout(11_000);
    assert.deepEqual(it.calls.slice(before), []);
  });
});

describe("guards, cache, and first steps", () => {
  test("text is checked, words are saved, and a verdict links its request [33]", async () => {
    const it = await visit({ base: shared, path: "guards", mayFail: /401 GET .*session/ });
    await settled(it.page);
    await it.page.locator("textarea").first().fill("Write to ada@example.com");
    await button(it.page, "Check").click();
    await it.page.getByText("[EMAIL_1]", { exact: false }).waitFor();
    await goTo(it, "guards?tab=verdicts");
    await it.page.getByLabel("Result").selectOption("block");
    await it.page.locator("tbody tr a.mono").first().click();
    await topDialog(it.page).getByText("house-rules").first().waitFor();
    assert.deepEqual(it.faults, []);
  });

  test("cache of a route is purged", async () => {
    const it = await visit({ base: shared, path: "cache", mayFail: /401 GET .*session/ });
    await settled(it.page);
    await it.page.locator("tr", { hasText: "embeddings" }).getByRole("button").click();
    await topDialog(it.page).getByRole("button").last().click();
    await topDialog(it.page).waitFor({ state: "detached" });
    assert.deepEqual(it.faults, []);
  });

  test("new gateway leads to a first request by clicks [16]", async () => {
    const it = await visit({ path: "welcome", mayFail: /401 GET .*session/ });
    await it.page.getByText("Waiting for the first request").waitFor();
    await it.page.getByRole("link", { name: "Open the playground" }).click();
    await it.page.getByLabel("Question").fill("Hello");
    await button(it.page, "Send").click();
    await it.page.locator(".attempt").waitFor();
    assert.deepEqual(it.faults, []);
  });
});

describe("accessibility and languages", () => {
  for (const [theme, locale] of [["light", "en-GB"], ["dark", "zh-CN"]]) {
    test(`no violation on any screen: ${theme}, ${locale} [2] [3] [40] [42] [46]`, { timeout: 600_000 }, async () => {
      const it = await visit({ base: shared, context: { colorScheme: theme, locale }, mayFail: /401 GET .*session/ });
      const found = [];
      for (const path of SCREENS) {
        await goTo(it, path);
        const violations = await it.page.evaluate(async (source) => {
          // The policy refuses evaluated text; the test's own world is free of it.
          if (!window.axe) (0, eval)(source);
          const { violations } = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] });
          return violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
        }, AXE);
        found.push(...violations.map((one) => `${path}: ${one}`));
        await it.page.setViewportSize({ width: 360, height: 740 });
        const extra = await it.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (extra > 0) found.push(`${path}: ${extra} px too wide`);
        await it.page.setViewportSize({ width: 1280, height: 800 });
      }
      assert.deepEqual(found, []);
      assert.deepEqual(it.faults, []);
    });
  }
});
