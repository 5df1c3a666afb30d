// Simulated gateway: serves the built console with the headers of _headers, and the admin API from memory.
//
// It stands for the calls that the screens make, so that these browser tests need no compiler. tests/real has the
// same screens before a real gateway, which decides who is right. Only here: an admin plane that is off, a ledger that
// is away and comes back, an older gateway, ten thousand consumers, a vault, and a model's answer of 200 kB.
// `node tests/gateway.mjs [PORT]` serves it for development; the tokens are `owner`, `editor`, and `viewer`.

import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { CONSUMERS, DOCUMENT, KINDS, random, request, usage } from "./data.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const DIST = join(here, "../dist/site/console");
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };
const RANK = { viewer: 0, editor: 1, owner: 2 };
const SCHEMA = JSON.parse(readFileSync(join(here, "../../schema/gateway.schema.json"), "utf8"));

/** Headers of a path in _headers. */
export function headersOf(path) {
  const headers = {};
  let applies = false;
  for (const line of readFileSync(join(here, "../_headers"), "utf8").split("\n")) {
    if (line.startsWith("#") || line.trim() === "") continue;
    if (!line.startsWith(" ")) applies = path.startsWith(line.replace("*", ""));
    else if (applies && line.trim().startsWith("!")) delete headers[line.trim().slice(1).trim().toLowerCase()];
    else if (applies) headers[line.slice(0, line.indexOf(":")).trim().toLowerCase()] = line.slice(line.indexOf(":") + 1).trim();
  }
  return headers;
}

class Refusal extends Error {
  constructor(status, code, message, extra = {}) {
    super(message);
    this.status = status;
    this.body = { error: { message, type: "invalid_request_error", param: null, code, ...extra } };
  }
}

const nameOf = (item) => (item && typeof item === "object" && !Array.isArray(item) ? (item.id ?? item.name ?? item.model) : undefined);

/** Changes between two documents, as the gateway lists them. */
export function changes(before, after, path = "") {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const isMap = (value) => value && typeof value === "object" && !Array.isArray(value);
  const isNamed = (value) => Array.isArray(value) && value.length > 0 && value.every((item) => nameOf(item) !== undefined);
  if (isMap(before) && isMap(after)) return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) => changes(before[key], after[key], path ? `${path}.${key}` : key));
  if (isNamed(before) && isNamed(after)) {
    const [old, young] = [before, after].map((list) => new Map(list.map((item) => [nameOf(item), item])));
    return [...new Set([...old.keys(), ...young.keys()])].flatMap((name) => changes(old.get(name), young.get(name), `${path}.${name}`));
  }
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) return before.flatMap((item, index) => changes(item, after[index], `${path}[${index}]`));
  return [{ path, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }];
}

function problems(document) {
  const found = [];
  const providers = new Set((document.providers ?? []).map((provider) => provider.id));
  for (const key of Object.keys(document)) if (!(key in SCHEMA.properties)) found.push({ path: key, found: `the field ${key}`, expected: "one of providers, routes, consumers, limits, …" });
  for (const route of document.routes ?? []) {
    if (!/^[A-Za-z0-9._-]+$/.test(route.id ?? "")) found.push({ path: `routes.${route.id}.id`, found: JSON.stringify(route.id), expected: "letters, digits, '.', '_' and '-'" });
    for (const [index, target] of (route.targets ?? []).entries()) {
      if (!providers.has(target.provider)) found.push({ path: `routes.${route.id}.targets[${index}].provider`, found: target.provider, expected: `one of ${[...providers].join(", ")}` });
      if (target.weight !== undefined && !(Number.isInteger(target.weight) && target.weight >= 0)) found.push({ path: `routes.${route.id}.targets[${index}].weight`, found: JSON.stringify(target.weight), expected: "a whole number" });
    }
    for (const model of route.models ?? []) if (model.startsWith("~(")) found.push({ path: `routes.${route.id}.models`, found: model, expected: "a regular expression" });
  }
  return found;
}

export function createGateway(options = {}) {
  const state = {
    sessions: new Map(), consumers: new Map(), keys: new Map(), audit: [], versions: [], vault: new Map([["deepseek", { name: "deepseek", hint: "9f2c", at: new Date(Date.now() - 86_400_000 * 9).toISOString(), by: "admin", used_by: ["deepseek"] }]]),
    words: new Map([["terms", ["forbidden phrase", "!harmless phrase"]]]), log: [], wrong: 0, adjustments: new Map(), waiters: new Set(), calls: [], number: 0,
    isPlaneOff: false, isLedgerAway: false, isQuiet: options.isQuiet ?? false, hostile: null, isOld: false,
  };
  const etagOf = (version) => `"${version.version}-${createHash("sha256").update(JSON.stringify(version.document)).digest("hex").slice(0, 16)}"`;
  const addVersion = (document, by, note, at = Date.now()) => {
    const version = { version: state.versions.length, source: state.versions.length ? "version" : "deployed", created_at: new Date(at).toISOString(), created_by: by, note, document: structuredClone(document) };
    version.etag = etagOf(version);
    state.versions.push(version);
    return version;
  };
  const current = () => state.versions.at(-1);
  const shown = (version) => ({ ...version, in_force: version === current(), served: version === current(), served_version: current().version });
  const log = (by, role, action, target, detail, at = Date.now()) => state.audit.unshift({ id: `a${state.audit.length}`, at: new Date(at).toISOString(), by, role, action, target, address: "203.0.113.7", request_id: `req_${randomBytes(6).toString("hex")}`, ...(detail ? { detail } : {}) });

  const first = structuredClone(DOCUMENT);
  first.routes[0].targets[0].weight = 95;
  first.routes[0].targets[1].weight = 5;
  const hour = 3_600_000;
  addVersion(first, null, null, Date.now() - 120 * hour);
  addVersion({ ...first, guards: first.guards.slice(0, 1) }, "admin", "personal data is masked", Date.now() - 52 * hour);
  addVersion(DOCUMENT, "ada.lovelace", "canary to 90/10", Date.now() - 0.6 * hour);
  for (const [id, group] of CONSUMERS.slice(1)) state.consumers.set(id, { id, source: "admin", group, created_at: new Date(Date.now() - 40 * 24 * hour).toISOString(), created_by: "admin" });
  for (let index = 0; index < (options.manyConsumers ?? 0); index++) state.consumers.set(`team-${String(index).padStart(5, "0")}`, { id: `team-${String(index).padStart(5, "0")}`, source: "admin", group: index % 3 ? "research" : "trial", created_at: new Date().toISOString(), created_by: "admin" });
  const addKey = (consumer, key, extra = {}) => {
    const one = { id: `key_${randomBytes(5).toString("hex")}`, consumer, status: "active", hint: key.slice(-4), adopted: false, created_at: new Date(extra.at ?? Date.now()).toISOString(), created_by: extra.by ?? "admin", expires_at: extra.expires_at ?? null, note: extra.note ?? null, last_used_at: extra.last ?? null };
    state.keys.set(one.id, { ...one, secret: key });
    return one;
  };
  addKey("support-bot", "sk-serin-aaaa7Qm2", { at: Date.now() - 30 * 24 * hour, note: "production", expires_at: new Date(Date.now() + 60 * 24 * hour).toISOString(), last: new Date(Date.now() - hour).toISOString() });
  addKey("support-bot", "sk-serin-bbbbXk90", { at: Date.now() - 90 * 24 * hour, note: "laptop of Grace", last: new Date(Date.now() - 40 * 24 * hour).toISOString() });
  log("admin", "owner", "session.open", "session/ses_1", undefined, Date.now() - 70 * hour);
  log("admin", "owner", "config.put", "config/1", { version: 1, changes: changes(first, { ...first, guards: first.guards.slice(0, 1) }) }, Date.now() - 52 * hour);
  log("admin", "owner", "vault.put", "vault/deepseek", undefined, Date.now() - 30 * hour);
  log("ada.lovelace", "owner", "limit.adjust", "limit/daily-tokens/acme", { measure: "tokens", change: 50000, for: "this_period" }, Date.now() - 5 * hour);
  log("grace", "editor", "key.issue", "consumer/support-bot/key/key_1a", undefined, Date.now() - 2 * hour);
  log("ada.lovelace", "owner", "config.put", "config/2", { version: 2, changes: changes({ ...first, guards: first.guards.slice(0, 1) }, DOCUMENT) }, Date.now() - 0.6 * hour);
  const addRequest = (at) => {
    const one = request(++state.number, at);
    state.log.unshift(one);
    state.log.length = Math.min(state.log.length, 3000);
    for (const wake of state.waiters) wake();
    return one;
  };
  if (!state.isQuiet) for (let index = 260; index > 0; index--) addRequest(Date.now() - index * 13_000 - (index % 7) * 700);

  const allConsumers = () => [...(current().document.consumers ?? []).map(({ keys, ...consumer }) => ({ ...consumer, source: "configuration" })), ...state.consumers.values()];
  const page = (rows, query, most = 200) => {
    const [limit, at] = [Math.min(most, Number(query.get("limit") ?? 50)), Number(query.get("cursor") ?? 0)];
    return { data: rows.slice(at, at + limit), cursor: at + limit < rows.length ? String(at + limit) : null };
  };
  const quotasOf = (limit) => ["tokens", "requests", "cost"].flatMap((measure) => [limit[measure] ?? []].flat().map((quota) => ({ measure, per: quota.per, max: quota.max })));
  const balance = (limit, value) => {
    const next = random([...`${limit.id}${value}`].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7));
    const share = value === "acme" ? 0.97 : next() * 0.8;
    return quotasOf(limit).map((quota) => {
      const max = quota.max + (state.adjustments.get(`${limit.id}/${value}/${quota.measure}`) ?? 0);
      const used = Math.round(quota.max * share * 100) / 100;
      return { ...quota, max, max_configured: quota.max, used, held: Math.round(quota.max * 0.01 * 100) / 100, left: Math.max(0, max - used), resets_in: 7200, resets_at: new Date(Date.now() + 2 * hour).toISOString() };
    });
  };
  const balances = (limit) => {
    const values = limit.by === "all" ? ["_"] : limit.by === "group" ? (current().document.groups ?? []).map((group) => group.id) : allConsumers().filter((one) => !limit.on?.groups || limit.on.groups.includes(one.group)).slice(0, 32).map((one) => one.id);
    return values.map((value) => { const quotas = balance(limit, value); return { key: value, used_share: Math.max(...quotas.map((quota) => quota.used / quota.max)), quotas }; }).sort((left, right) => right.used_share - left.used_share);
  };
  const limitOf = (id) => {
    const limit = (current().document.limits ?? []).find((one) => one.id === id);
    if (!limit) throw new Refusal(404, "limit_not_found", `There is no limit ${id}.`);
    return limit;
  };
  const matches = (row, query) => ["route", "consumer", "group", "model", "target", "outcome", "key"].every((name) => !query.get(name) || query.getAll(name).includes(row[name])) && (!query.get("status") || row.status === Number(query.get("status"))) && (!query.get("min_ms") || row.total_ms >= Number(query.get("min_ms"))) && (!query.get("from") || row.at_ms >= Date.parse(query.get("from")));
  const need = (who, role) => {
    if (RANK[who.role] < RANK[role]) throw new Refusal(403, "role_not_allowed", `This call needs the role ${role}; yours is ${who.role}.`);
  };
  const ledger = () => {
    if (state.isLedgerAway) throw new Refusal(503, "ledger_unavailable", "The ledger is unavailable.");
  };
  const replace = (who, document, tag, note, isDry) => {
    if (!isDry && tag !== "*" && tag !== current().etag) throw new Refusal(412, "precondition_failed", "Another version is in force.", { current: shown(current()) });
    const wrong = problems(document);
    if (wrong.length > 0) throw new Refusal(422, "invalid_configuration", "The configuration is not valid.", { problems: wrong });
    const difference = changes(current().document, document);
    if (isDry) return { ...shown(current()), dry_run: true, changes: difference };
    const version = addVersion(document, who.operator, note);
    log(who.operator, who.role, "config.put", `config/${version.version}`, { version: version.version, changes: difference });
    return { ...shown(version), dry_run: false, changes: difference };
  };

  const test = (body) => {
    const isWrong = body.key === "sk-wrong";
    return isWrong ? { ok: false, status: 401, first_token_ms: null, total_ms: 80, tokens: { input: 0, output: 0 }, usage_reported: false, text: "", error: { result: "key_refused", detail: null, message: "The provider refuses the key." } } : { ok: true, status: 200, first_token_ms: 212, total_ms: 530, tokens: { input: 9, output: 6 }, text: "Hello! I am here.", usage_reported: true, error: null };
  };

  /** Answers of the calls: `METHOD path` with `:names`. */
  const calls = {
    "GET openapi.json": () => ({}),
    "GET config/schema": () => SCHEMA,
    "GET config": (_, { reply }) => { reply.setHeader("etag", current().etag); return current().document; },
    "PUT config": (_, { who, body, query, request }) => { need(who, "owner"); return replace(who, body, request.headers["if-match"], query.get("note"), query.get("dry_run") === "true"); },
    "GET config/versions": (_, { query }) => page([...state.versions].reverse().map(shown).map(({ document, ...rest }) => rest), query),
    "GET config/versions/:a/diff/:b": ({ a, b }) => ({ from: shown(state.versions[a]), to: shown(state.versions[b]), changes: changes(state.versions[a].document, state.versions[b].document) }),
    "POST config/versions/:a/restore": ({ a }, { who, request, query }) => { need(who, "owner"); return replace(who, state.versions[a].document, request.headers["if-match"], query.get("note"), false); },
    "GET sessions": (_, { who }) => page([...state.sessions.values()].filter((one) => who.role === "owner" || one.operator === who.operator).map((one) => ({ id: one.id, operator: one.operator, at: one.at, seen_at: one.seen, address: "203.0.113.7", agent: one.agent, current: one.id === who.id })), new URLSearchParams()),
    "DELETE sessions/:id": ({ id }) => { for (const [cookie, one] of state.sessions) if (one.id === id) state.sessions.delete(cookie); return {}; },
    "DELETE sessions": (_, { query }) => { for (const [cookie, one] of state.sessions) if (one.operator === query.get("operator")) state.sessions.delete(cookie); return {}; },
    "GET consumers": (_, { query }) => page(allConsumers(), query),
    "POST consumers": (_, { who, body }) => {
      need(who, "editor");
      if (allConsumers().some((one) => one.id === body.id)) throw new Refusal(409, "already_exists", "The consumer exists.");
      if (body.group && !(current().document.groups ?? []).some((group) => group.id === body.group)) throw new Refusal(400, "invalid_request", `The group ${body.group} does not exist.`, { param: "group" });
      const one = { ...body, source: "admin", created_at: new Date().toISOString(), created_by: who.operator };
      state.consumers.set(body.id, one);
      log(who.operator, who.role, "consumer.create", `consumer/${body.id}`);
      return one;
    },
    "GET consumers/:id": ({ id }) => {
      const one = allConsumers().find((consumer) => consumer.id === id);
      if (!one) throw new Refusal(404, "consumer_not_found", `There is no consumer ${id}.`);
      return one;
    },
    "PATCH consumers/:id": ({ id }, { who, body }) => { need(who, "editor"); const one = { ...state.consumers.get(id), ...body }; for (const [name, value] of Object.entries(one)) if (value === null) delete one[name]; state.consumers.set(id, one); return one; },
    "DELETE consumers/:id": ({ id }, { who }) => { need(who, "editor"); state.consumers.delete(id); return {}; },
    "GET consumers/:id/keys": ({ id }, { query }) => page([...state.keys.values()].filter((key) => key.consumer === id).map(({ secret, ...key }) => ({ ...key, status: key.expires_at && Date.parse(key.expires_at) < Date.now() ? "expired" : "active" })), query),
    "POST consumers/:id/keys": ({ id }, { who, body }) => {
      need(who, "editor");
      if (body.key !== undefined && !/^[!-~]{16,512}$/.test(body.key)) throw new Refusal(400, "invalid_request", "A key has 16 to 512 visible ASCII characters.", { param: "key" });
      const secret = body.key ?? `sk-serin-${randomBytes(26).toString("hex").slice(0, 51)}`;
      const one = addKey(id, secret, { by: who.operator, note: body.note, expires_at: body.expires_at });
      return body.key === undefined ? { ...one, key: secret } : { ...one, adopted: true };
    },
    "POST consumers/:id/keys/:key/roll": ({ id, key }, { who, body }) => {
      need(who, "editor");
      state.keys.get(key).expires_at = new Date(Date.now() + Number.parseInt(body.grace, 10) * hour).toISOString();
      const secret = `sk-serin-${randomBytes(26).toString("hex").slice(0, 51)}`;
      return { ...addKey(id, secret, { by: who.operator, note: state.keys.get(key).note }), key: secret };
    },
    "PATCH consumers/:id/keys/:key": ({ key }, { who, body }) => { need(who, "editor"); return Object.assign(state.keys.get(key), body); },
    "DELETE consumers/:id/keys/:key": ({ key }, { who }) => { need(who, "editor"); state.keys.delete(key); return {}; },
    "GET limits": (_, { query }) => { ledger(); return page((current().document.limits ?? []).map((limit) => ({ id: limit.id, by: limit.by, routes: limit.on?.routes ?? null, groups: limit.on?.groups ?? null, hard: false, on_error: "open", quotas: quotasOf(limit), nearest: balances(limit)[0] ?? null })), query); },
    "GET limits/:id": ({ id }, { query }) => { ledger(); return page(balances(limitOf(id)), query, 32); },
    "GET limits/:id/:value": ({ id, value }) => { ledger(); return { limit: id, key: value, quotas: balance(limitOf(id), value) }; },
    "POST limits/:id/:value/adjust": ({ id, value }, { who, body }) => {
      need(who, "editor");
      const name = `${id}/${value}/${body.measure}`;
      const quota = balance(limitOf(id), value).find((one) => one.measure === body.measure);
      state.adjustments.set(name, (state.adjustments.get(name) ?? 0) + (body.by ?? body.left - quota.left));
      log(who.operator, who.role, "limit.adjust", `limit/${id}/${value}`, body);
      return { limit: id, key: value, quotas: balance(limitOf(id), value), adjustment: {} };
    },
    "GET usage": (_, { query }) => {
      ledger();
      const by = (query.get("by") ?? "").split(",").filter(Boolean);
      const filters = Object.fromEntries(["route", "consumer", "group", "model", "provider"].map((name) => [name, query.getAll(name)]));
      const [from, to] = ["from", "to"].map((name) => Date.parse(query.get(name)) / 1000);
      return { from: query.get("from"), to: query.get("to"), step: query.get("step"), by, data: usage({ from, to, step: query.get("step"), by, filters, quiet: state.isQuiet }) };
    },
    "GET targets": (_, { query }) => {
      ledger();
      const route = query.get("route");
      const parts = (current().document.routes ?? []).filter((one) => !route || one.id === route).flatMap((one) => {
        const sum = one.targets.reduce((total, target) => total + (target.weight ?? 1), 0);
        const base = one.id === "chat" ? 2400 : one.id === "reasoning" ? 410 : 520;
        return [...one.targets.map((target) => ({ route: one, target, calls: Math.round((base * (target.weight ?? 1)) / sum * 1.01) })), ...(one.fallback ?? []).map((target) => ({ route: one, target, calls: 41 }))];
      });
      return { data: parts.map(({ route: one, target, calls }) => {
        const model = target.model ?? one.models[0].replace("*", "reasoner");
        const bad = target.provider === "openai" ? 0.011 : target.provider === "deepseek" ? 0.017 : 0;
        const answered = Math.round(calls * (1 - bad));
        const first = { openai: 431, deepseek: 602, local: 268 }[target.provider] ?? 500;
        return { target: `${target.provider}/${model}`, provider: target.provider, model, route: one.id, calls, answered, by_result: { answered, "429": Math.ceil((calls - answered) * 0.6), timeout: Math.floor((calls - answered) * 0.4) }, p50_first_token_ms: first, p95_first_token_ms: Math.round(first * 2.9), p50_total_ms: first * 7, p95_total_ms: first * 16, retried: 3, hedged: 0, share: 0, input_tokens: answered * 820, output_tokens: answered * 290, cost_usd: answered * ({ openai: 0.0042, deepseek: 0.0004 }[target.provider] ?? 0) };
      }) };
    },
    "GET health": () => { ledger(); return { at: new Date().toISOString(), isolates: 4, targets: [{ target: "local/qwq-32b", provider: "local", model: "qwq-32b", resting: 2, until: new Date(Date.now() + 24_000).toISOString() }], keys: [{ provider: "openai", key: 1, resting: 1, until: new Date(Date.now() + 41_000).toISOString() }] }; },
    "GET kinds": () => ({ data: KINDS }),
    "GET match": (_, { query }) => {
      const model = query.get("model");
      const route = (current().document.routes ?? []).find((one) => one.models.some((pattern) => (pattern.endsWith("*") ? model.startsWith(pattern.slice(0, -1)) : pattern === model)));
      if (!route) return { model, route: null, error: "model_not_found", parameters: [] };
      const sum = route.targets.reduce((total, target) => total + (target.weight ?? 1), 0);
      return { model, route: route.id, error: null, parameters: [], targets: route.targets.map((target) => ({ target: `${target.provider}/${target.model ?? model}`, share: (target.weight ?? 1) / sum })), fallback: (route.fallback ?? []).map((target) => ({ target: `${target.provider}/${target.model ?? model}` })), limits: [{ id: "bursts", by: "consumer", value: null }] };
    },
    "POST providers/test": (_, { who, body }) => { need(who, "owner"); return test(body); },
    "POST providers/:id/test": (_, { who, body }) => { need(who, "editor"); return test(body); },
    "GET vault": (_, { who }) => { need(who, "editor"); return page([...state.vault.values()], new URLSearchParams()); },
    "PUT vault/:name": ({ name }, { who, body }) => { need(who, "owner"); const one = { name, hint: body.value.slice(-4), at: new Date().toISOString(), by: who.operator, used_by: [] }; state.vault.set(name, one); log(who.operator, who.role, "vault.put", `vault/${name}`); return one; },
    "DELETE vault/:name": ({ name }, { who }) => { need(who, "owner"); state.vault.delete(name); return {}; },
    "GET secrets": (_, { who }) => { need(who, "owner"); return { data: [{ name: "ADMIN_TOKEN", set: true, reserved: true, used_by: [] }, { name: "OPENAI_API_KEY", set: true, reserved: false, used_by: ["openai"] }, { name: "OPENAI_API_KEY_B", set: false, reserved: false, used_by: ["openai"] }, { name: "WEBSITE_KEY", set: true, reserved: false, used_by: ["website"] }] }; },
    "GET audit": (_, { query }) => page(state.audit.filter((entry) => (!query.get("target") || entry.target.startsWith(query.get("target"))) && (!query.get("action") || entry.action === query.get("action")) && (!query.get("by") || entry.by === query.get("by"))), query),
    "GET words/:list": ({ list }) => { if (!state.words.has(list)) throw new Refusal(404, "list_not_found", "no list"); return { count: state.words.get(list).length, words: state.words.get(list) }; },
    "PUT words/:list": ({ list }, { who, body }) => { need(who, "editor"); state.words.set(list, body.words); return { count: body.words.length }; },
    "GET verdicts": (_, { query }) => page(state.log.filter((one) => one.guards.length > 0).map((one) => ({ id: `v${one.row.id}`, at: new Date(one.row.at_ms).toISOString(), request_id: one.row.id, consumer: one.row.consumer, route: one.row.route, guard: "personal-data", phase: "request", result: "block", label: "email", level: "high", content: "My address is g•••@example.com" })).filter((row) => ["guard", "result", "consumer", "label"].every((name) => !query.get(name) || row[name] === query.get(name))), query),
    "POST guards/:id/check": (_, { who, body }) => { need(who, "editor"); const isFound = /\d{6,}|@|\+\d/.test(body.text); return isFound ? { result: "mask", findings: [{ label: "phone", level: "high" }], masked: body.text.replace(/[+\d][\d ]{6,}/, "***"), error: null } : { result: "pass", findings: [], masked: null, error: null }; },
    "DELETE cache": (_, { who, query }) => { need(who, "editor"); return query.get("cursor") ? { deleted: 9, more: false, cursor: null } : { deleted: 32, more: true, cursor: "1" }; },
    "GET requests/histogram": (_, { query }) => {
      const size = { "1m": 60_000, "1h": hour, "24h": 24 * hour }[query.get("step")];
      const begin = Math.floor(Date.parse(query.get("from")) / size) * size;
      const slots = Array.from({ length: Math.ceil((Date.now() - begin) / size) }, (_, index) => ({ start: new Date(begin + index * size).toISOString(), requests: 0, by_outcome: {} }));
      for (const { row } of state.log.filter((one) => matches(one.row, query))) { const slot = slots[Math.floor((row.at_ms - begin) / size)]; if (slot) { slot.requests += 1; slot.by_outcome[row.outcome] = (slot.by_outcome[row.outcome] ?? 0) + 1; } }
      return { data: slots };
    },
    "GET requests": async (_, { query, request }) => {
      if (query.get("after") !== null) {
        const newer = () => state.log.filter((one) => one.row.at_ms > Number(query.get("after")) && matches(one.row, query)).map((one) => one.row);
        if (newer().length === 0) await new Promise((done) => { const timer = setTimeout(done, Number.parseInt(query.get("wait") ?? "0", 10) * 1000); const wake = () => { clearTimeout(timer); state.waiters.delete(wake); done(); }; state.waiters.add(wake); request.on("close", wake); });
        const data = newer();
        return { data, cursor: null, newest: String(data[0]?.at_ms ?? query.get("after")) };
      }
      const rows = state.log.map((one) => one.row).filter((row) => matches(row, query));
      return { ...page(rows, query), newest: String(state.log[0]?.row.at_ms ?? Date.now()) };
    },
    "GET requests/:id": ({ id }, { who }) => {
      const one = state.log.find((other) => other.row.id === id);
      if (!one) throw new Refusal(404, "request_not_found", "There is no such request.");
      return { ...one.row, attempts: one.attempts, guards: one.guards, ...(state.hostile && RANK[who.role] > 0 ? { prompt: "Hello", answer: state.hostile } : {}) };
    },
    "POST try": async (_, { who, body, reply }) => {
      need(who, "editor");
      const one = addRequest(Date.now());
      Object.assign(one.row, { consumer: body.consumer, model: body.request.model, route: "chat", outcome: "answered", status: 200, flags: [], target: "openai/gpt-4o", first_token_ms: 240, total_ms: 900, input_tokens: 21, output_tokens: 64, cost_usd: 0.0007, error: null, limit: null, blocked_by: null, cache: null, attempts: 1 });
      one.attempts = [{ target: "openai/gpt-4o", part: "whole", key: 0, result: "answered", http_status: 200, detail: null, began_ms: 1, ms: 899 }];
      one.guards = [];
      reply.writeHead(200, { "content-type": "text/event-stream", "x-serin-route": "chat", "x-serin-target": "openai/gpt-4o", "x-request-id": one.row.id });
      const words = (state.hostile ?? "A **canary release** sends a small share of the traffic to a new version first.\n\n- watch errors and latency\n- move the slider when both sides agree\n\n```sh\ncargo xtask up --demo\n```").split(/(?<= )/);
      for (const word of words) {
        if (reply.destroyed) return undefined;
        reply.write(`data: ${JSON.stringify({ choices: [{ delta: { content: word } }] })}\n\n`);
        await new Promise((done) => setTimeout(done, 25));
      }
      reply.end(`data: [DONE]\n\nevent: serin\ndata: ${JSON.stringify({ ...one.row, attempts: one.attempts, guards: [] })}\n\n`);
      return undefined;
    },
  };
  const table = Object.entries(calls).map(([name, answer]) => { const [method, path] = name.split(" "); return { method, answer, pattern: new RegExp(`^${path.replace(/:(\w+)/g, "(?<$1>[^/]+)").replace(".", "\\.")}$`) }; });
  const NEW = /^(session|requests|targets|health|kinds|match|try|vault|secrets|guards|config\/schema|config\/versions\/\d+\/diff|providers)/;

  async function admin(path, method, context) {
    const { request, reply, body } = context;
    const cookie = /serin-dev=([^;]+)/.exec(request.headers.cookie ?? "")?.[1];
    if (state.isPlaneOff) throw new Refusal(404, "unknown_url", "There is no such page.");
    if (method !== "GET" && cookie && (request.headers["sec-fetch-site"] ?? "same-origin") !== "same-origin") throw new Refusal(403, "cross_site", "Not from this site.");
    if (path === "session" && method === "POST") {
      if (state.wrong >= 10) { reply.setHeader("retry-after", "600"); throw new Refusal(429, "too_many_attempts", "Too many wrong tokens."); }
      if (!(body.token in RANK)) { state.wrong += 1; throw new Refusal(401, "invalid_api_key", "The token is not valid."); }
      const value = randomBytes(16).toString("hex");
      state.sessions.set(value, { id: `ses_${value.slice(0, 10)}`, operator: body.token === "owner" ? "admin" : body.token === "editor" ? "ada" : "grace", role: body.token, at: new Date().toISOString(), seen: new Date().toISOString(), agent: request.headers["user-agent"] });
      reply.setHeader("set-cookie", `serin-dev=${value}; Path=/; HttpOnly; SameSite=Strict`);
      return {};
    }
    const who = state.sessions.get(cookie);
    if (!who) throw new Refusal(401, "invalid_api_key", "Sign in.");
    who.seen = new Date().toISOString();
    if (path === "session" && method === "DELETE") { state.sessions.delete(cookie); return {}; }
    if (path === "session") return { operator: who.operator, role: who.role, session: who.id, expires_at: new Date(Date.now() + 12 * hour).toISOString(), idle_seconds: 1800, edge: "cloudflare", version: "0.3.0", config_version: current().version, can: { change_config: true, issue_keys: true, vault: true } };
    if (state.isOld && NEW.test(path)) throw new Refusal(404, "unknown_url", "There is no such page.");
    for (const { method: known, pattern, answer } of table) {
      const found = known === method && pattern.exec(path);
      if (found) return answer(Object.fromEntries(Object.entries(found.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)])), { ...context, who });
    }
    throw new Refusal(404, "unknown_url", "There is no such page.");
  }

  function file(path, reply) {
    const asked = join(DIST, path.slice("/console/".length));
    const isFile = asked.startsWith(DIST) && existsSync(asked) && statSync(asked).isFile();
    const found = isFile ? asked : path.startsWith("/console/assets/") ? null : join(DIST, "index.html");
    const headers = headersOf(path);
    if (found === null) return void reply.writeHead(404, headers).end();
    reply.writeHead(200, { ...headers, "content-type": TYPES[extname(found)] ?? "application/octet-stream" }).end(readFileSync(found));
  }

  const server = createServer(async (request, reply) => {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname === "/") return void reply.writeHead(302, { location: "/console/" }).end();
    if (url.pathname.startsWith("/console")) return file(url.pathname === "/console" ? "/console/" : url.pathname, reply);
    if (!url.pathname.startsWith("/admin/v1/")) return void reply.writeHead(404).end();
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const text = Buffer.concat(pieces).toString();
    reply.setHeader("cache-control", "no-store");
    reply.setHeader("x-request-id", `req_${randomBytes(6).toString("hex")}`);
    state.calls.push({ method: request.method, path: url.pathname.slice(10) + url.search, at: Date.now() });
    try {
      const answer = await admin(url.pathname.slice(10), request.method, { request, reply, query: url.searchParams, body: text ? JSON.parse(text) : {} });
      if (answer !== undefined && !reply.destroyed) reply.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    } catch (error) {
      const status = error instanceof Refusal ? error.status : 500;
      if (status === 500) console.error(error);
      reply.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(error.body ?? { error: { message: String(error), code: "internal" } }));
    }
  });
  return { server, state, addRequest, addVersion, current };
}

export async function listen(gateway, port = 0) {
  await new Promise((done) => gateway.server.listen(port, "127.0.0.1", done));
  return `http://127.0.0.1:${gateway.server.address().port}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const gateway = createGateway({ isQuiet: process.argv.includes("--quiet") });
  console.log(`${await listen(gateway, Number(process.argv[2] ?? 8899))}/console/`);
  setInterval(() => gateway.addRequest(Date.now()), 2000);
}
