// Browser tests of the console before a real gateway: the Worker in workerd, and the component in wasmtime.
//
// `cargo xtask test --only console` starts the gateways; see edge.mjs for a run without cargo. States in which no
// test can put a real gateway are in states.mjs. Numbers in brackets are those of the list of checks in
// docs/console.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, test } from "node:test";

import { signIn } from "./browser.mjs";
import { SECRETS } from "./edge.mjs";
import { admin, ask, chat, until } from "./seed.mjs";
import { assertCount, assertFaultless, assertPublished, assertValue, base, button, change, goTo, refusedReason, requests, settled, topDialog, visit, workersOnly } from "./visit.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SCREENS = ["overview", "requests", "usage", "usage?by=consumer,model", "routes", "routes/chat", "providers", "providers/openai", "consumers", "consumers/acme", "consumers/website", "limits", "limits/team-budget", "limits/daily-tokens", "guards", "guards?tab=verdicts", "cache", "playground", "configuration", "configuration?tab=versions", "operators", "operators?tab=audit", "settings", "welcome"];
/** Texts of a value that has no form. */
const SHAPELESS = /\bundefined\b|\bNaN\b|\[object |\bInvalid Date\b|\bInfinity\b/;

const current = (address) => ask(address, "GET", "config");
const newest = async (address) => (await ask(address, "GET", "config/versions?limit=1")).data[0];

describe("serving", () => {
  test("framing by another page is refused [12]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, token: null });
    const page = await it.session.newPage();
    const refused = page.waitForEvent("console", (message) => /refused|violates|frame-ancestors|X-Frame-Options/i.test(message.text()));
    await page.setContent(`<iframe src="${it.base}/console/"></iframe>`);
    await refused;
    assert.equal(await page.frames()[1].locator("#token").count(), 0);
  });

  test("missing chunk after a deployment loads the page again, once [45]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, mayFail: /404 GET .*usage-/ });
    await settled(it);
    let loads = 0;
    it.page.on("load", () => (loads += 1));
    await it.page.route(/assets\/usage-.*\.js/, (route) => (loads === 0 ? route.fulfill({ status: 404, body: "" }) : route.continue()));
    await it.page.getByRole("link", { name: "Usage", exact: true }).click();
    await it.page.getByRole("heading", { name: "Usage", exact: true }).waitFor();
    // The event of the load may follow the heading.
    await until("the page has loaded", () => loads > 0);
    await settled(it);
    assert.equal(loads, 1);
    assertFaultless(it);
  });
});

describe("session", () => {
  test("right token gives a cookie that no script can read [6], and sign-out ends it [8]", async () => {
    const it = await visit({ base: base.seeded });
    const [cookie] = await it.session.cookies();
    assert.equal(cookie.httpOnly, true);
    assert.equal(cookie.sameSite, "Strict");
    const seen = await it.page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage));
    assert.equal(seen, "{}{}");
    await button(it.page, "Sign out").click();
    await it.page.locator("#token").waitFor();
    const askAgain = async () => (await fetch(`${it.base}/admin/v1/session`, { headers: { cookie: `${cookie.name}=${cookie.value}` } })).status;
    // Another instance of the component may remember the session for 10 s.
    let status = await askAgain();
    for (let tries = 0; tries < 40 && status !== 401; tries++) {
      await it.page.waitForTimeout(500);
      status = await askAgain();
    }
    assert.equal(status, 401);
    assertFaultless(it);
  });

  test("page of another site cannot change anything [11]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, mayFail: /401 POST .*consumers/ });
    const [cookie] = await it.session.cookies();
    const body = JSON.stringify({ id: "from-elsewhere" });
    const url = `${it.base}/admin/v1/consumers`;
    const elsewhere = await it.session.newPage();
    // The same machine under another name is another site, to which no policy of the console applies.
    await elsewhere.goto(`${base.quiet.replace("127.0.0.1", "localhost")}/healthz`);
    const sent = elsewhere.waitForRequest((request) => request.method() === "POST");
    await elsewhere.evaluate(([to, text]) => fetch(to, { method: "POST", mode: "no-cors", credentials: "include", body: text }).catch(() => undefined), [url, body]);
    assert.equal((await (await sent).allHeaders()).cookie, undefined);
    // A browser that sends the cookie nevertheless says from where.
    const forged = await fetch(url, { method: "POST", headers: { cookie: `${cookie.name}=${cookie.value}`, "sec-fetch-site": "cross-site", "content-type": "application/json" }, body });
    assert.deepEqual([forged.status, (await forged.json()).error.code], [403, "cross_site_request"]);
    assert.equal((await admin(it.base, "GET", "consumers/from-elsewhere")).status, 404);
    assertFaultless(it);
  });

  test("viewer and editor see what they may not do, with the reason [14] [15]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, token: SECRETS.PROMETHEUS_TOKEN, path: "consumers" });
    assert.match(await refusedReason(button(it.page, "Add consumer")), /needs the role editor; you are viewer/);
    const editor = await visit({ base: base.seeded, token: SECRETS.GRACE_TOKEN, path: "routes/chat" });
    await editor.page.locator("input[type=range]").nth(1).fill("25");
    await refusedReason(button(editor.page, "Review and publish"));
    assertFaultless(it, editor);
  });

  for (const [role, token] of [["viewer", SECRETS.PROMETHEUS_TOKEN], ["editor", SECRETS.GRACE_TOKEN]]) {
    test(`every screen works for the role ${role}`, workersOnly, async () => {
      const it = await visit({ base: base.seeded, token });
      for (const path of SCREENS) await change(it, path);
      assertFaultless(it);
    });
  }

  test("session that ends keeps the form [9]", workersOnly, async () => {
    const it = await visit({ base: base.changed, path: "routes", mayFail: /401/ });
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
    await assertValue(it.page.getByLabel("Name"), "kept");
    assertFaultless(it);
  });
});

describe("every screen", () => {
  test("has no failed call, no error, and no value without a form", async () => {
    const it = await visit({ base: base.seeded });
    const found = [];
    for (const path of SCREENS) {
      const before = it.faults.length;
      await change(it, path);
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

  test("numbers of the overview are those of the API", workersOnly, async () => {
    const it = await visit({ base: base.seeded });
    await goTo(it, "requests");
    await it.page.locator(".histogram").waitFor();
    const listed = (await ask(it.base, "GET", "requests?limit=100")).data;
    await it.page.getByText(`${listed.length} requests`).first().waitFor();
    for (const outcome of ["Answered", "Refused", "Blocked", "Failed"]) await it.page.locator(".histogram + .row").getByText(outcome).waitFor();
    assertFaultless(it);
  });
});

describe("routes and configuration", () => {
  test("slider to 75/25 publishes both weights [21], and the second of two editors loses nothing [22]", async () => {
    const it = await visit({ base: base.changed, path: "routes/chat", mayFail: /412 PUT/ });
    await settled(it);
    const { version } = await newest(it.base);
    const slider = it.page.locator("input[type=range]").nth(1);
    await slider.fill("25");
    await assertValue(it.page.locator("input[type=number]").first(), "75");
    await button(it.page, "Review and publish").click();
    await it.page.getByText("routes.chat.targets[0].weight").waitFor();
    await button(it.page, "Publish").click();
    await assertPublished(it, version + 1);
    assert.deepEqual((await current(it.base)).routes[0].targets.map((target) => target.weight), [75, 25]);
    assert.equal((await newest(it.base)).note, "chat: 75/25");
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
    await assertPublished(it, version + 3);
    const document = await current(it.base);
    assert.equal(document.limits[1].requests.max, 60);
    assert.deepEqual(document.routes[0].targets.map((target) => target.weight), [70, 30]);
    assertFaultless(it);
  });

  test("route is added by the form [20], serves, and is found by its model", workersOnly, async () => {
    const it = await visit({ base: base.changed, path: "routes", mayFail: /422 PUT/ });
    await button(it.page, "Add route").click();
    const form = topDialog(it.page);
    await form.getByLabel("Name").fill("canary");
    await form.getByLabel("Models").fill("~(");
    await button(it.page, "Review changes").click();
    await it.page.getByText("would not be valid", { exact: false }).waitFor();
    await button(topDialog(it.page), "Back").click();
    await form.getByRole("alert").filter({ hasText: "regular expression" }).waitFor();
    await assertValue(form.getByLabel("Models"), "~(");
    await form.getByLabel("Models").fill("gpt-4.1\ngpt-4.1-*");
    await form.getByLabel("Weight").fill("90");
    await button(form, "Add target").first().click();
    await form.getByLabel("Provider").nth(1).selectOption("deepseek");
    await form.getByLabel("Model there").nth(1).fill("deepseek-chat");
    await button(it.page, "Review changes").click();
    await button(it.page, "Publish").click();
    await it.page.getByRole("heading", { name: "canary", exact: true }).waitFor();
    assert.deepEqual((await current(it.base)).routes.at(-1), { id: "canary", models: ["gpt-4.1", "gpt-4.1-*"], targets: [{ provider: "openai", weight: 90 }, { provider: "deepseek", weight: 10, model: "deepseek-chat" }] });
    await until("the route serves", async () => (await chat(it.base, { model: "gpt-4.1-mini" })).status === 200);
    await goTo(it, "routes");
    await it.page.getByLabel("Model", { exact: true }).fill("gpt-4.1-mini");
    await button(it.page, "Find").click();
    await it.page.locator("a.tag", { hasText: "canary" }).first().waitFor();
    assertFaultless(it);
  });

  test("invalid JSON and an invalid field are marked, and cannot be published [24]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, path: "configuration", mayFail: /422 PUT/ });
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
    await refusedReason(button(it.page, "Review changes"));
    await it.page.locator(".cm-lint-marker-error").first().waitFor();
    assertFaultless(it);
  });

  test("TOML is pasted, published, and version 0 restored [23] [25]", workersOnly, async () => {
    const it = await visit({ base: base.changed, path: "configuration" });
    const { version } = await newest(it.base);
    const deployed = (await ask(it.base, "GET", "config/versions/0")).document;
    await it.page.locator(".editor .cm-content").waitFor();
    await button(it.page, "Paste TOML").click();
    await topDialog(it.page).getByLabel("gateway.toml").fill('[[providers]]\nid = "openai"\nkeys = ["secret:OPENAI_API_KEY"]\n[[routes]]\nid = "chat"\nmodels = ["gpt-4o"]\ntargets = [{ provider = "openai" }]\n');
    await button(it.page, "Use as draft").click();
    await it.page.getByText(/^Valid, /).waitFor();
    await button(it.page, "Review changes").click();
    await button(it.page, "Publish").click();
    await assertPublished(it, version + 1);
    assert.equal((await current(it.base)).routes.length, 1);
    await goTo(it, "configuration?tab=versions&version=0");
    await button(it.page, "Restore").click();
    await button(topDialog(it.page), "Restore").click();
    await assertPublished(it, version + 2);
    assert.deepEqual(await current(it.base), deployed);
    await goTo(it, "operators?tab=audit");
    await it.page.getByText("config.restore").first().waitFor();
    assertFaultless(it);
  });
});

describe("providers", () => {
  test("provider of an address is added after a test, lists its models, and answers [18] [19]", workersOnly, async () => {
    const it = await visit({ base: base.changed, path: "providers" });
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
    await it.page.getByRole("heading", { name: "own", exact: true }).waitFor();
    assert.deepEqual((await current(it.base)).providers.at(-1), { id: "own", kind: "openai-compatible", base_url: address });
    await button(it.page, "List models").click();
    await it.page.getByRole("button", { name: "qwq-32b" }).click();
    await assertValue(it.page.getByLabel("Model", { exact: true }), "qwq-32b");
    await button(it.page, "Run test").click();
    await it.page.getByText("Answered").waitFor();
    assertFaultless(it);
  });
});

describe("forms of the document", () => {
  /** Reviews and publishes what a form has made. Returns the document in force. */
  async function publish(it) {
    const { version } = await newest(it.base);
    await button(topDialog(it.page), "Review changes").click();
    await button(topDialog(it.page), "Publish").click();
    await assertPublished(it, version + 1);
    await assertCount(it.page.locator("dialog[open]"), 0);
    return current(it.base);
  }

  test("limit and guard are made and removed by a form", workersOnly, async () => {
    // This gateway has no list of words. The screen of the limit may ask for it once more.
    const it = await visit({ base: base.changed, path: "limits", mayFail: /404 GET .*(limits\/hourly|words\/terms)/ });
    await button(it.page, "Add limit").click();
    await button(topDialog(it.page), "Review changes").click();
    await topDialog(it.page).getByText("Set at least one maximum.").waitFor();
    await topDialog(it.page).getByLabel("Name").fill("hourly");
    await topDialog(it.page).getByLabel("At most").first().fill("1000");
    await topDialog(it.page).getByLabel("Per").first().selectOption("hour");
    const { limits } = await publish(it);
    assert.deepEqual(limits.at(-1), { id: "hourly", by: "consumer", requests: { per: "hour", max: 1000 } });
    await goTo(it, "limits/hourly");
    await button(it.page, "Edit").click();
    await button(topDialog(it.page), "Remove").click();
    await button(topDialog(it.page), "Publish").click();
    await it.page.getByRole("heading", { name: "Limits", exact: true }).waitFor();
    assert.equal((await current(it.base)).limits.some((limit) => limit.id === "hourly"), false);
    await goTo(it, "guards");
    await button(it.page, "Add guard").click();
    await topDialog(it.page).getByLabel("Name").fill("cards");
    await topDialog(it.page).getByLabel("card", { exact: true }).check();
    const { guards } = await publish(it);
    assert.deepEqual(guards.at(-1), { id: "cards", kind: "pii", detect: ["email", "phone", "api_key", "card"] });
    assertFaultless(it);
  });

  test("cache is changed by a form, with its problem beside the field", workersOnly, async () => {
    const it = await visit({ base: base.changed, path: "cache", mayFail: /422 PUT/ });
    await settled(it);
    await button(it.page, "Edit cache").click();
    const ttl = topDialog(it.page).getByLabel("Keep answers for");
    await ttl.fill("soon");
    await button(topDialog(it.page), "Review changes").click();
    await it.page.getByText("would not be valid", { exact: false }).waitFor();
    await button(topDialog(it.page), "Back").click();
    await topDialog(it.page).getByRole("alert").filter({ hasText: "soon" }).waitFor();
    await ttl.fill("2h");
    assert.deepEqual((await publish(it)).cache, { ttl: "2h" });
    assertFaultless(it);
  });

  test("prices are imported from a file", workersOnly, async () => {
    const it = await visit({ base: base.changed, path: "settings" });
    await button(it.page, "Import prices").click();
    const list = { "gpt-4o": { input_cost_per_token: 3e-6, output_cost_per_token: 12e-6, cache_read_input_token_cost: 1.5e-6 }, "deepseek/deepseek-chat": { input_cost_per_token: 2.8e-7, output_cost_per_token: 4.2e-7 }, unused: { input_cost_per_token: 1, output_cost_per_token: 1 } };
    const choose = (text) => topDialog(it.page).getByLabel("File").setInputFiles({ name: "prices.json", mimeType: "application/json", buffer: Buffer.from(text) });
    await choose("{");
    await topDialog(it.page).getByText("The file is not JSON.").waitFor();
    await choose(JSON.stringify(list));
    await topDialog(it.page).getByLabel("deepseek-chat").uncheck();
    const before = (await current(it.base)).prices;
    assert.deepEqual((await publish(it)).prices, [{ model: "gpt-4o", input: 3, output: 12, cached_input: 1.5 }, ...before]);
    assertFaultless(it);
  });
});

describe("vault", () => {
  test("provider is added by its key, which is replaced and cannot be read [17]", workersOnly, async () => {
    const it = await visit({ base: base.changed, path: "providers", mayFail: /409 DELETE .*vault/ });
    const address = (await current(it.base)).providers.find((provider) => provider.id === "local").base_url;
    await button(it.page, "Add provider").first().click();
    await topDialog(it.page).getByRole("button", { name: "OpenAI-compatible" }).first().click();
    const form = topDialog(it.page);
    await form.getByLabel("Name", { exact: true }).fill("keyed");
    await form.getByLabel("Base URL").fill(address);
    await button(form, "Vault").click();
    await form.getByLabel("API key").fill("sk-first-1234");
    await button(form, "Review changes").click();
    await button(it.page, "Publish").click();
    await it.page.getByRole("heading", { name: "keyed", exact: true }).waitFor();
    assert.deepEqual((await current(it.base)).providers.at(-1).keys, ["vault:keyed"]);
    await it.page.getByText("…1234").waitFor();
    assert.equal((await it.page.content()).includes("sk-first-1234"), false);
    await it.page.getByLabel("Model", { exact: true }).fill("any");
    await button(it.page, "Run test").click();
    await it.page.getByText("Answered").waitFor();
    const { version } = await newest(it.base);
    await goTo(it, "settings");
    await button(it.page, "Replace").click();
    await topDialog(it.page).locator("input[type=password]").fill("sk-second-5678");
    await button(topDialog(it.page), "Save").click();
    await it.page.getByText("keyed is saved.").waitFor();
    await until("the new key is a new version", async () => (await newest(it.base)).version === version + 1);
    assert.equal((await newest(it.base)).note, "vault: keyed");
    assert.equal((await admin(it.base, "DELETE", "vault/keyed")).data.error.code, "vault_key_in_use");
    assertFaultless(it);
  });
});

describe("consumers and limits", () => {
  test("key is shown once, calls, is rolled, and is gone after closing [26] [27] [28] [30]", async () => {
    const it = await visit({ base: base.changed, path: "consumers", mayFail: /400 POST .*keys/ });
    await button(it.page, "Add consumer").click();
    await topDialog(it.page).getByLabel("Name").fill("newcomer");
    await button(it.page, "Create").click();
    await it.page.getByRole("heading", { name: "newcomer", exact: true }).waitFor();
    await button(it.page, "Add key").click();
    await button(topDialog(it.page), "Issue a key").last().click();
    const key = await it.page.locator("[data-secret]").innerText();
    assert.match(key, /^sk-serin-/);
    await refusedReason(button(it.page, "Done"));
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
    await assertCount(it.page.locator("tbody code"), 2);

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
    await assertCount(it.page.locator("tbody code"), 2);
    assertFaultless(it);
  });

  test("key ends by the clock [29]", workersOnly, async () => {
    await ask(base.changed, "POST", "consumers", { id: "brief", group: "product" });
    const { key } = await ask(base.changed, "POST", "consumers/brief/keys", {});
    assert.equal((await chat(base.changed, {}, key)).status, 200);
    const it = await visit({ base: base.changed, path: "consumers/brief" });
    // The consumer has a button of this name, too.
    await button(it.page.locator("tr", { hasText: `…${key.slice(-4)}` }), "Edit").click();
    await topDialog(it.page).getByLabel("Expires").selectOption("custom");
    // The field has minutes: the next one that is at least 10 s away.
    const end = new Date(Math.ceil((Date.now() + 10_000) / 60_000) * 60_000).toISOString();
    await topDialog(it.page).getByLabel("At", { exact: true }).fill(end.slice(0, 16));
    await button(topDialog(it.page), "Save").click();
    await assertCount(it.page.locator("dialog[open]"), 0);
    await until("the key has ended", async () => (await chat(it.base, {}, key)).status === 401, 180_000);
    assert.ok(Date.now() >= Date.parse(end), "it ended too early");
    await goTo(it, "consumers/brief");
    await it.page.getByText("expired", { exact: true }).waitFor();
    assertFaultless(it);
  });

  test("limit that is reached is on Overview, Limits and Requests [31]", workersOnly, async () => {
    const it = await visit({ base: base.seeded });
    const limited = it.page.locator(".tile", { hasText: "Limited" }).locator(".value");
    await until("the overview counts it", async () => (await limited.innerText()).trim() === "1");
    await change(it, "limits");
    await it.page.locator("tr", { hasText: "daily-tokens" }).getByText(/acme · \d{2,3}%/).waitFor();
    await change(it, "requests?outcome=refused&consumer=acme");
    await it.page.locator("tbody tr", { hasText: "429" }).getByText("limit", { exact: true }).waitFor();
    await change(it, `requests?id=${requests.limited.id}`);
    await topDialog(it.page).getByRole("link", { name: "daily-tokens" }).waitFor();
    assertFaultless(it);
  });

  test("balance is adjusted [32]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, path: "limits/daily-tokens" });
    await it.page.getByRole("button", { name: "Adjust acme in daily-tokens" }).click();
    await topDialog(it.page).getByLabel("Add").fill("100000");
    await button(topDialog(it.page), "Adjust").click();
    await it.page.getByText("The balance is adjusted.").waitFor();
    assert.equal((await ask(it.base, "GET", "limits/daily-tokens/acme")).quotas[0].max, 100_200);
    assertFaultless(it);
  });

  test("consumers are read in pages and found by the beginning of their name [43]", workersOnly, async () => {
    const it = await visit({ base: base.changed, token: null });
    for (let first = 0; first < 410; first += 10) await Promise.all(Array.from({ length: 10 }, (_, index) => ask(it.base, "POST", "consumers", { id: `team-${String(first + index).padStart(5, "0")}`, group: "trial" })));
    await signIn(it.page, it.base, SECRETS.ADMIN_TOKEN, "consumers");
    await settled(it);
    await button(it.page, "Show 200 more").click();
    await it.page.getByText("400 consumers").waitFor();
    await it.page.locator(".virtual").evaluate((frame) => frame.scrollTo(0, frame.scrollHeight));
    await it.page.getByText("team-0039").first().waitFor();
    assert.ok((await it.page.locator("tbody tr").count()) < 60);
    await it.page.getByLabel("Search").fill("team-0040");
    await it.page.getByText("team-00409").first().waitFor();
    await assertCount(it.page.locator("tbody tr"), 10);
    await settled(it);
    assert.ok(it.calls.at(-1).includes("prefix=team-0040"), it.calls.at(-1));
    assertFaultless(it);
  });
});

describe("requests and playground", () => {
  test("live tail shows a call, filters, and pauses [36]", async () => {
    await ask(base.changed, "POST", "consumers", { id: "tail", group: "product" });
    const { key } = await ask(base.changed, "POST", "consumers/tail/keys", {});
    const it = await visit({ base: base.changed, path: "requests?live=on&consumer=tail" });
    await it.page.locator(".live").waitFor();
    await settled(it);
    await chat(it.base);
    await chat(it.base, {}, key);
    // The mark of the live tail is a part of this title.
    await it.page.getByText(/^1 request(?!s)/).first().waitFor();
    await button(it.page, "Pause").click();
    const { id } = await chat(it.base, {}, key);
    await until("the log has the call", async () => (await ask(it.base, "GET", "requests?consumer=tail")).data.some((row) => row.id === id));
    await it.page.waitForTimeout(1_000);
    assert.equal(await it.page.getByText("2 requests").count(), 0);
    assertFaultless(it);
  });

  test("waterfall shows both attempts with reasons [34]", workersOnly, async () => {
    const it = await visit({ base: base.seeded });
    await goTo(it, `requests?id=${requests.fallback.id}`);
    const drawer = topDialog(it.page);
    await drawer.locator(".attempt").nth(1).waitFor();
    assert.match(await drawer.innerText(), /5xx 503[\s\S]*local \/ qwq-32b/);
    await it.page.keyboard.press("Escape");
    await it.page.waitForFunction(() => !window.location.search.includes("id="));
    assertFaultless(it);
  });

  test("stream that was cut is shown as such [35]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, path: "requests?outcome=truncated" });
    await it.page.getByText("1 request", { exact: true }).waitFor();
    await change(it, `requests?id=${requests.truncated.id}`);
    await topDialog(it.page).getByText("truncated", { exact: true }).first().waitFor();
    assertFaultless(it);
  });

  test("every outcome has a request that opens", workersOnly, async () => {
    const it = await visit({ base: base.seeded });
    for (const [name, { id }] of Object.entries(requests)) {
      await goTo(it, `requests?id=${id}`);
      await topDialog(it.page).locator("dl.pairs").waitFor();
      assert.doesNotMatch(await topDialog(it.page).innerText(), SHAPELESS, name);
    }
    assertFaultless(it);
  });

  test("filters stay over reload and back [47]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, path: "requests" });
    await settled(it);
    await it.page.getByLabel("Outcome").selectOption("failed");
    await it.page.waitForFunction(() => window.location.search.includes("outcome=failed"));
    await it.page.reload();
    await settled(it);
    await assertValue(it.page.getByLabel("Outcome"), "failed");
    await it.page.getByText("1 request", { exact: true }).waitFor();
    await it.page.getByRole("link", { name: "Usage", exact: true }).click();
    await it.page.getByRole("heading", { name: "Usage", exact: true }).waitFor();
    await it.page.goBack();
    await assertValue(it.page.getByLabel("Outcome"), "failed");
    assertFaultless(it);
  });

  test("playground streams, shows attempts and cost, keeps hostile output as text, and stops [38] [39]", async () => {
    const it = await visit({ base: base.changed, path: "playground" });
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
    assertFaultless(it);
  });

  test("sums of the usage screen are those of the API, and CSV has no formula [37]", workersOnly, async () => {
    const it = await visit({ base: base.seeded });
    // Without a time, the last day.
    const { data } = await ask(it.base, "GET", "usage?by=consumer");
    const sum = data.reduce((total, row) => total + row.requests, 0);
    assert.ok(sum >= 10, `${sum} requests`);
    await goTo(it, "usage?by=consumer&range=24h");
    await it.page.locator(".tile .value").first().filter({ hasText: String(sum) }).waitFor();
    const [download] = await Promise.all([it.page.waitForEvent("download"), button(it.page, "CSV").click()]);
    const csv = readFileSync(await download.path(), "utf8");
    assert.ok(csv.split("\r\n").length > 2);
    assert.doesNotMatch(csv.replace("\ufeff", ""), /(^|,)[=+@]/m);
    assertFaultless(it);
  });

  test("hidden page does not poll [48]", workersOnly, async () => {
    const it = await visit({ base: base.seeded });
    await settled(it);
    await it.page.evaluate(() => Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true }));
    await settled(it);
    const before = it.calls.length;
    // Longer than the shortest pause between two polls of this screen.
    await it.page.waitForTimeout(11_000);
    assert.deepEqual(it.calls.slice(before), []);
  });
});

describe("guards, cache, and first steps", () => {
  test("text is checked, words are saved, and a verdict links its request [33]", workersOnly, async () => {
    const it = await visit({ base: base.seeded, path: "guards" });
    await settled(it);
    await it.page.locator("textarea").first().fill("Write to ada@example.com");
    await button(it.page, "Check").click();
    await it.page.getByText("[EMAIL_1]", { exact: false }).waitFor();
    await goTo(it, "guards?tab=verdicts");
    await it.page.getByLabel("Result").selectOption("block");
    await it.page.locator("tbody tr a.mono").first().click();
    await topDialog(it.page).getByText("house-rules").first().waitFor();
    assertFaultless(it);
  });

  test("cache of a route is purged", workersOnly, async () => {
    const it = await visit({ base: base.seeded, path: "cache" });
    await settled(it);
    await it.page.locator("tr", { hasText: "embeddings" }).getByRole("button").click();
    await topDialog(it.page).getByRole("button").last().click();
    await topDialog(it.page).waitFor({ state: "detached" });
    assertFaultless(it);
  });

  test("new gateway leads to a first request by clicks [16]", workersOnly, async () => {
    const it = await visit({ base: base.quiet, path: "welcome" });
    await it.page.getByText("Waiting for the first request").waitFor();
    await it.page.getByRole("link", { name: "Open the playground" }).click();
    await it.page.getByLabel("Question").fill("Hello");
    await button(it.page, "Send").click();
    await it.page.locator(".attempt").waitFor();
    assertFaultless(it);
  });
});

describe("accessibility and languages", () => {
  for (const [theme, locale] of [["light", "en-GB"], ["dark", "zh-CN"]]) {
    test(`no violation on any screen: ${theme}, ${locale} [2] [3] [40] [42] [46]`, { ...workersOnly, timeout: 600_000 }, async () => {
      const it = await visit({ base: base.seeded, context: { colorScheme: theme, locale } });
      const found = [];
      for (const path of SCREENS) {
        await change(it, path);
        const violations = await it.page.evaluate(async (source) => {
          // The policy refuses evaluated text; the test's own world is free of it.
          if (!window.axe) (0, eval)(source);
          const { violations } = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] });
          return violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
        }, AXE);
        found.push(...violations.map((one) => `${path}: ${one}`));
        const { keys, title } = await it.page.evaluate(() => ({ keys: document.body.innerText.match(/\b[a-z]+\.[a-z]+_[a-z_]+\b/g) ?? [], title: document.querySelector("main h1").innerText }));
        // Names of audit actions and of secrets' places look like keys of texts, and are not.
        found.push(...keys.filter((key) => !/^(config|consumer|key|vault|limit|session|words)\./.test(key)).map((key) => `${path}: no text ${key}`));
        if (locale === "zh-CN" && !path.includes("/") && !/[\u4e00-\u9fff]/.test(title)) found.push(`${path}: ${title} is not translated`);
        await it.page.setViewportSize({ width: 360, height: 740 });
        const overflow = () => it.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        // A chart takes the width of its box after the window has changed.
        let extra = await overflow();
        for (let tries = 0; tries < 30 && extra > 0; tries++) {
          await it.page.waitForTimeout(100);
          extra = await overflow();
        }
        if (extra > 0) found.push(`${path}: ${extra} px too wide`);
        await it.page.setViewportSize({ width: 1280, height: 800 });
      }
      assert.deepEqual(found, []);
      assertFaultless(it);
    });
  }

  test("keyboard alone signs in, moves the slider, and publishes [41]", workersOnly, async () => {
    const it = await visit({ base: base.changed, token: null });
    const { version } = await newest(it.base);
    await it.page.goto(`${it.base}/console/routes/chat`);
    await it.page.locator("#token:focus").waitFor();
    await it.page.keyboard.type(SECRETS.ADMIN_TOKEN);
    await it.page.keyboard.press("Enter");
    const slider = it.page.locator("input[type=range]").nth(1);
    await slider.waitFor();
    await settled(it);
    const isFocused = (control) => control.evaluate((element) => element === document.activeElement);
    const tabTo = async (control, most) => {
      for (let presses = 0; presses < most && !(await isFocused(control)); presses++) await it.page.keyboard.press("Tab");
      assert.ok(await isFocused(control), `${control} is out of reach`);
    };
    await tabTo(slider, 60);
    const share = Number(await slider.inputValue());
    for (let presses = 0; presses < 15; presses++) await it.page.keyboard.press("ArrowRight");
    await assertValue(slider, String(share + 15));
    await tabTo(button(it.page, "Review and publish"), 20);
    await it.page.keyboard.press("Enter");
    await it.page.getByText("routes.chat.targets[1].weight").waitFor();
    await tabTo(button(it.page, "Publish"), 10);
    await it.page.keyboard.press("Enter");
    await assertPublished(it, version + 1);
    assert.equal((await current(it.base)).routes[0].targets[1].weight, share + 15);
    await it.page.keyboard.press("g");
    await it.page.keyboard.press("u");
    await it.page.getByRole("heading", { name: "Usage", exact: true }).waitFor();
    assertFaultless(it);
  });
});

describe("wrong tokens, last: they lock their address out", () => {
  test("wrong token is explained and sets no cookie [5], and the eleventh is throttled [13]", async () => {
    const it = await visit({ base: base.quiet, token: null, mayFail: /(401|429) POST .*session/ });
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
});
