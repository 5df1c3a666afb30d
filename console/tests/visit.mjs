// Pages before the gateways of one run, and what every test does with them.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { launch, signIn } from "./browser.mjs";
import { SECRETS, startGateways } from "./edge.mjs";
import { seed, until } from "./seed.mjs";

/** Longest wait for anything on a page: a loaded machine is slow, not wrong. */
const PATIENCE_MS = 120_000;

const open = [];
let browser;
let gateways;

/**
 * Gateways of the run. `seeded` has traffic of every outcome, whose requests are in `requests`, and gets no more.
 * `changed` is for tests that change a configuration or consumers or send requests. `quiet` has none at first.
 */
export const base = {};
export let requests;

before(async () => {
  [browser, gateways] = await Promise.all([launch(), startGateways()]);
  Object.assign(base, gateways.bases);
  requests = await seed(base.seeded);
});

after(async () => {
  for (const close of open) await close();
  await browser?.close();
  await gateways?.stop();
});

/** Skips a test on Spin, where the component serves the same files and calls: a few tests of each kind run there. */
export const workersOnly = { skip: process.env.SERIN_CONSOLE_EDGE === "spin" && "runs on the Worker" };

/** Answer of a call that a test makes up, for states in which no real gateway can be put. */
export const refusal = (status, code) => ({ status, contentType: "application/json", body: JSON.stringify({ error: { message: code, type: "invalid_request_error", param: null, code } }) });

/** Page before a gateway, and everything that went wrong in it. `mayFail` are the calls that a test lets fail. */
export async function visit({ base: address, context = {}, token = SECRETS.ADMIN_TOKEN, path = "overview", mayFail = /^$/ }) {
  const session = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", timezoneId: "UTC", reducedMotion: "reduce", ...context });
  const page = await session.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const it = { base: address, page, session, faults: [], calls: [], pending: new Set() };
  page.on("pageerror", (error) => it.faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const isStatus = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isStatus) it.faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !/^(blob|data):/.test(request.url())) it.faults.push(`request to ${request.url()}`);
    if (!request.url().includes("/admin/v1/")) return;
    it.calls.push(request.url().slice(address.length));
    // A long poll has no end to wait for.
    if (!request.url().includes("wait=")) it.pending.add(request);
  });
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => it.pending.delete(request));
  page.on("response", (response) => {
    const call = `${response.status()} ${response.request().method()} ${response.url().slice(address.length)}`;
    // A page asks for its session before anybody has signed in.
    const isFirstLook = call === "401 GET /admin/v1/session";
    // The gateway gives up on a store or a ledger after 2 or 3 s, which a loaded machine may need. Screens ask again.
    const isSlow = call.startsWith("503 GET ");
    if (response.status() >= 400 && !isFirstLook && !isSlow && !mayFail.test(call)) it.faults.push(call);
  });
  open.push(async () => {
    // A test that fails earlier does not come to its own look at them.
    if (it.faults.length > 0 && process.env.SERIN_CONSOLE_FAULTS) console.error(it.faults);
    await session.close();
  });
  if (token) await signIn(page, address, token, path);
  return it;
}

/** Waits until the screen is there and no call is under way, at two looks: one answer may lead to the next call. */
export async function settled(it) {
  let looks = 0;
  await until("the screen settles", async () => {
    const isDrawn = await it.page.evaluate(() => document.querySelector("main h1") !== null && document.querySelectorAll("[aria-busy=true]").length === 0);
    looks = isDrawn && it.pending.size === 0 ? looks + 1 : 0;
    return looks === 2;
  });
}

/** Loads a screen as a link from elsewhere does. */
export async function goTo(it, path) {
  await it.page.goto(`${it.base}/console/${path}`);
  await settled(it);
}

/** Changes to a screen as a link of the console does, without a load. */
export async function change(it, path) {
  await it.page.evaluate((to) => {
    window.history.pushState(null, "", to);
    window.dispatchEvent(new PopStateEvent("popstate"));
  }, `/console/${path}`);
  await settled(it);
}

export const button = (page, name) => page.getByRole("button", { name, exact: true });
export const topDialog = (page) => page.locator("dialog[open]").last();

/** Waits until a field has a value. */
export const assertValue = (field, value) => until(`the field has ${value}`, async () => (await field.inputValue()) === value);

/** Waits until a list has so many elements. */
export const assertCount = (list, count) => until(`there are ${count}`, async () => (await list.count()) === count);

/** Waits until a button is shown as not permitted, and returns the reason. */
export async function refusedReason(control) {
  await until("the button is refused", async () => (await control.getAttribute("aria-disabled")) === "true");
  return control.getAttribute("title");
}

export async function assertPublished(it, version) {
  await it.page.getByText(`Version ${version} is in force.`, { exact: false }).first().waitFor();
}

export function assertFaultless(...pages) {
  assert.deepEqual(pages.flatMap((it) => it.faults), []);
}
