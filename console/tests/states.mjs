// States in which no test can put a real gateway: a made-up answer takes the place of the gateway's.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { signIn } from "./browser.mjs";
import { SECRETS } from "./edge.mjs";
import { until } from "./seed.mjs";
import { assertCount, assertFaultless, base, button, change, refusal, settled, visit, workersOnly } from "./visit.mjs";

/** Calls that came with the console. */
const NEW_CALLS = /\/admin\/v1\/(requests|targets|health|kinds|match|try|vault|secrets|guards|config\/schema|config\/versions\/\d+\/diff|providers)/;

const json = (value) => ({ contentType: "application/json", body: JSON.stringify(value) });

describe("states of no real gateway", workersOnly, () => {
  test("admin plane that is off says what to set [7]", async () => {
    const it = await visit({ base: base.seeded, token: null, mayFail: /404/ });
    await it.page.route("**/admin/v1/**", (route) => route.fulfill(refusal(404, "unknown_url")));
    await it.page.goto(`${it.base}/console/`);
    await it.page.getByText("npx wrangler secret put ADMIN_TOKEN").waitFor();
    assertFaultless(it);
  });

  test("ledger that is away leaves the last data with a banner, and recovers [44]", async () => {
    const it = await visit({ base: base.seeded, path: "limits", mayFail: /503/ });
    await settled(it);
    await it.page.getByText("team-budget").first().waitFor();
    const away = (route) => route.fulfill(refusal(503, "ledger_unavailable"));
    await it.page.route(/\/admin\/v1\/(usage|limits|health|targets|requests)/, away);
    await it.page.getByRole("link", { name: "Overview", exact: true }).click();
    await it.page.getByText("The ledger is not available").first().waitFor();
    await it.page.getByRole("link", { name: "Limits", exact: true }).click();
    await it.page.getByText("The ledger is not available").first().waitFor();
    await it.page.getByText("team-budget").first().waitFor();
    await it.page.unroute(/\/admin\/v1\/(usage|limits|health|targets|requests)/, away);
    const banner = it.page.getByText("The ledger is not available");
    // A poll may be faster than the button, which then is gone.
    await until("the screen recovers", async () => {
      if ((await banner.count()) > 0) await button(it.page, "Try again").first().click({ timeout: 1_000 }).catch(() => undefined);
      return (await banner.count()) === 0;
    });
    await it.page.getByText("team-budget").first().waitFor();
    await it.page.getByRole("link", { name: "Overview", exact: true }).click();
    await it.page.locator(".tile").first().waitFor();
    assertFaultless(it);
  });

  test("older gateway is named, and no screen breaks", async () => {
    const it = await visit({ base: base.seeded, mayFail: /404/ });
    await settled(it);
    await it.page.route(NEW_CALLS, (route) => route.fulfill(refusal(404, "unknown_url")));
    await it.page.reload();
    for (const path of ["requests", "routes/chat", "providers", "guards", "configuration", "settings", "playground"]) await change(it, path);
    assertFaultless(it);
  });

  test("ten thousand consumers are read in pages and drawn in part [43]", async () => {
    const it = await visit({ base: base.seeded, token: null });
    const ids = Array.from({ length: 10_000 }, (_, index) => `team-${String(index).padStart(5, "0")}`);
    await it.page.route(/\/admin\/v1\/consumers\?/, (route) => {
      const query = new URL(route.request().url()).searchParams;
      const found = ids.filter((id) => id.startsWith(query.get("prefix") ?? ""));
      const [limit, at] = [Number(query.get("limit")), Number(query.get("cursor") ?? 0)];
      const data = found.slice(at, at + limit).map((id) => ({ id, source: "admin", group: "trial", created_at: "2026-11-30T00:00:00.000Z", created_by: "admin" }));
      return route.fulfill(json({ data, cursor: at + limit < found.length ? String(at + limit) : null }));
    });
    await signIn(it.page, it.base, SECRETS.ADMIN_TOKEN, "consumers");
    await settled(it);
    assert.equal(it.calls.filter((call) => call.includes("/consumers?")).length, 1);
    for (let rows = 400; rows <= 2_000; rows += 200) {
      await button(it.page, "Show 200 more").click();
      await it.page.getByText(`${new Intl.NumberFormat("en-GB").format(rows)} consumers`).waitFor();
    }
    await it.page.locator(".virtual").evaluate((frame) => frame.scrollTo(0, frame.scrollHeight));
    await it.page.getByText("team-01999").first().waitFor();
    assert.ok((await it.page.locator("tbody tr").count()) < 60);
    const heap = await it.page.evaluate(() => window.performance.memory.usedJSHeapSize);
    assert.ok(heap < 100e6, `${heap} bytes`);
    await it.page.getByLabel("Search").fill("team-0999");
    await it.page.getByText("10 consumers").waitFor();
    await assertCount(it.page.locator("tbody tr"), 10);
    assertFaultless(it);
  });

  test("answer of 200 kB with hostile text stays text [39]", async () => {
    const it = await visit({ base: base.seeded, path: "playground" });
    const text = `<img src=x onerror="window.hurt=1"><script>window.hurt=1</script> [a](javascript:window.hurt=1) \u202Eesrever ${"x".repeat(200_000)}`;
    const record = { id: "req_1", at: "2026-11-30T00:00:00.000Z", at_ms: 1795996800000, first_token_ms: 240, operation: "chat", consumer: null, route: "chat", model: "gpt-4o", stream: true, target: "openai/gpt-4o", outcome: "answered", status: 200, flags: [], input_tokens: 1, output_tokens: 1, cost_usd: 0, total_ms: 900, attempts: [{ target: "openai/gpt-4o", part: "whole", key: 0, result: "answered", http_status: 200, detail: null, began_ms: 1, ms: 899 }], guards: [] };
    const events = `data: ${JSON.stringify({ choices: [{ delta: { content: text } }] })}\n\ndata: [DONE]\n\nevent: serin\ndata: ${JSON.stringify(record)}\n\n`;
    await it.page.route("**/admin/v1/try", (route) => route.fulfill({ contentType: "text/event-stream", body: events }));
    await it.page.getByLabel("Question").fill("Hi");
    await button(it.page, "Send").click();
    await it.page.locator(".attempt").waitFor();
    assert.equal(await it.page.evaluate(() => window.hurt), undefined);
    assert.equal(await it.page.locator(".prose img, .prose script, .prose a").count(), 0);
    assertFaultless(it);
  });
});
