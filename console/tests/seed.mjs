// Calls of a real gateway beside the browser: the admin API with a token, requests of consumers, and traffic of every outcome.

import assert from "node:assert/strict";

import { SECRETS } from "./edge.mjs";

/** Calls the admin API. Returns the status and the document. */
export async function admin(base, method, path, body, token = SECRETS.ADMIN_TOKEN, headers = {}) {
  const response = await fetch(`${base}/admin/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, etag: response.headers.get("etag"), data: text ? JSON.parse(text) : undefined };
}

/** The same, which must succeed. */
export async function ask(base, method, path, body, headers) {
  const { status, data } = await admin(base, method, path, body, SECRETS.ADMIN_TOKEN, headers);
  assert.ok(status < 300, `${method} ${path}: ${status} ${JSON.stringify(data)}`);
  return data;
}

/** Sends a request of a consumer. Returns its status and its id. */
export async function chat(base, body = {}, key = SECRETS.WEBSITE_KEY, path = "chat/completions") {
  const content = path === "embeddings" ? {} : { messages: [{ role: "user", content: "What is a canary release?" }] };
  const response = await fetch(`${base}/v1/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-4o", ...content, ...body }),
  });
  // A stream that is cut ends with an event or without one.
  await response.text().catch(() => undefined);
  return { status: response.status, id: response.headers.get("x-request-id"), target: response.headers.get("x-serin-target") };
}

const says = (content) => ({ messages: [{ role: "user", content }] });

/** Repeats until the gateway has written what it writes after a response. */
export async function until(text, check, patience = 120_000) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < end, `never: ${text}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Sends requests of every outcome: answered, by fallback, from the cache, masked, blocked, limited, failed, truncated, refused. */
export async function seed(base) {
  await ask(base, "PUT", "words/terms", { words: ["forbidden phrase"] });
  for (const [id, group] of [["support-bot", "product"], ["notebook", "research"], ["acme", "trial"]]) await ask(base, "POST", "consumers", { id, group });
  const { key } = await ask(base, "POST", "consumers/acme/keys", { note: "production" });
  const { key: bot } = await ask(base, "POST", "consumers/support-bot/keys", {});
  const of = {};
  for (let index = 0; index < 6; index++) of.answered = await chat(base, { stream: index % 2 === 0, ...says(`Question ${index}`) }, index % 2 ? bot : undefined);
  of.fallback = await chat(base, { model: "gpt-4o-fail-503" });
  of.masked = await chat(base, says("Write to ada@example.com"));
  of.blocked = await chat(base, says("This is a forbidden phrase."));
  of.failed = await chat(base, { model: "broken-fail-500" });
  of.truncated = await chat(base, { model: "deepseek-fail-cut", stream: true });
  of.refused = await chat(base, { model: "none" });
  for (let index = 0; index < 2; index++) of.cached = await chat(base, { model: "text-embedding-3-small", input: "canary" }, undefined, "embeddings");
  for (let index = 0; index < 12 && of.limited?.status !== 429; index++) of.limited = await chat(base, { max_tokens: 20, ...says(`More ${index}`.repeat(10)) }, key);
  await until("every request is in the log", async () => {
    const { data } = await ask(base, "GET", "requests?limit=100");
    return Object.values(of).every(({ id }) => data.some((row) => row.id === id));
  });
  return of;
}
