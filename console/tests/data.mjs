// Data of the simulated gateway: the same at every start, apart from the clock.

/** Pseudo-random numbers below 1, from a seed. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const DOCUMENT = {
  providers: [
    { id: "openai", keys: ["secret:OPENAI_API_KEY", "secret:OPENAI_API_KEY_B"] },
    { id: "deepseek", keys: ["vault:deepseek"] },
    { id: "local", kind: "openai-compatible", base_url: "http://127.0.0.1:9103/v1" },
  ],
  routes: [
    {
      id: "chat",
      models: ["gpt-4o", "gpt-4o-mini"],
      targets: [{ provider: "openai", weight: 90 }, { provider: "deepseek", weight: 10, model: "deepseek-chat" }],
      fallback: [{ provider: "local", model: "qwq-32b" }],
      fallback_on: ["connect", "timeout", "429", "5xx"],
      timeouts: { first_byte: "3s", idle: "10s", total: "30s" },
    },
    { id: "reasoning", models: ["deepseek-*"], targets: [{ provider: "deepseek" }], fallback: [{ provider: "local", model: "qwq-32b" }], fallback_on: ["connect", "timeout", "429", "5xx", "limited"], sticky: "user" },
    { id: "embeddings", models: ["text-embedding-3-*"], targets: [{ provider: "openai" }] },
  ],
  consumers: [{ id: "website", group: "product", keys: ["secret:WEBSITE_KEY"] }],
  groups: [{ id: "product", routes: ["chat", "embeddings"] }, { id: "research" }, { id: "trial", routes: ["chat"] }],
  limits: [
    { id: "team-budget", by: "group", cost: { per: "month", max: 250 } },
    { id: "bursts", by: "consumer", requests: { per: "minute", max: 120 } },
    { id: "daily-tokens", by: "consumer", on: { groups: ["trial"] }, tokens: { per: "day", max: 200000 } },
  ],
  prices: [{ model: "gpt-4o*", input: 2.5, output: 10 }, { model: "deepseek-*", input: 0.28, output: 0.42 }, { model: "text-embedding-3-*", input: 0.02 }],
  guards: [
    { id: "personal-data", kind: "pii", check: ["request"], detect: ["email", "phone", "api_key"] },
    { id: "house-rules", kind: "words", check: ["request", "response"], list: "terms" },
  ],
  cache: { ttl: "1h" },
  admin: { operators: [{ name: "ada", role: "editor", token: "secret:ADA_TOKEN" }, { name: "prometheus", role: "viewer", token: "secret:PROMETHEUS_TOKEN" }] },
};

export const CONSUMERS = [["website", "product"], ["support-bot", "product"], ["notebook", "research"], ["mobile-app", "product"], ["evaluation", "research"], ["acme", "trial"], ["globex", "trial"]];
const MIX = [
  { route: "chat", model: "gpt-4o", provider: "openai", share: 0.62, first: 420, total: 3100, cost: 0.0042 },
  { route: "chat", model: "deepseek-chat", provider: "deepseek", share: 0.08, first: 610, total: 3900, cost: 0.0004 },
  { route: "chat", model: "qwq-32b", provider: "local", share: 0.02, first: 260, total: 2300, cost: 0 },
  { route: "reasoning", model: "deepseek-reasoner", provider: "deepseek", share: 0.13, first: 900, total: 9800, cost: 0.0013 },
  { route: "embeddings", model: "text-embedding-3-small", provider: "openai", share: 0.15, first: 90, total: 110, cost: 0.00001 },
];

function bins(middle, n, next) {
  const counts = new Map();
  for (let index = 0; index < Math.min(n, 60); index++) {
    const value = middle * Math.exp((next() + next() + next() - 1.5) * 0.9);
    const bin = Math.ceil(Math.log10(Math.max(1, value)) * 24);
    counts.set(bin, (counts.get(bin) ?? 0) + Math.max(1, Math.round(n / 60)));
  }
  return [...counts].sort((left, right) => left[0] - right[0]);
}

const STEP = { minute: 60, hour: 3600, day: 86_400 };

/** Rows of usage, by the dimensions that the caller asks for. */
export function usage({ from, to, step, by, filters, quiet }) {
  const rows = new Map();
  const size = step === "total" ? Math.max(60, Math.min(3600, (to - from) / 24)) : STEP[step];
  const now = Date.now() / 1000;
  for (let start = Math.floor(from / size) * size; start < to && start < now && !quiet; start += size) {
    const wave = 0.65 + 0.35 * Math.sin((start / 86_400) * 2 * Math.PI - 1.8) + 0.08 * Math.sin(start / 700);
    for (const [index, [consumer, group]] of CONSUMERS.entries()) {
      for (const [at, mix] of MIX.entries()) {
        const next = random(start * 31 + index * 7 + at);
        const part = Math.min(1, (now - start) / size);
        const requests = Math.round((size / 60) * wave * 34 * mix.share * (0.34 / (index + 1)) * (0.75 + next() / 2) * part + next() * 0.4);
        const all = { consumer, group, model: mix.model, provider: mix.provider, route: mix.route, key: `key_${index}`, limit: index > 4 ? "daily-tokens" : "", user: "", client: index % 2 ? "openai-python" : "openai-node" };
        if (requests === 0 || Object.entries(filters).some(([name, values]) => values.length > 0 && !values.includes(all[name]))) continue;
        const failed = next() < 0.02 && mix.provider !== "local" ? Math.min(requests, Math.ceil(requests * 0.04)) : 0;
        const limited = index > 4 && next() < 0.1 ? Math.ceil(requests * 0.15) : 0;
        const name = [step === "total" ? "" : start, ...by.map((dimension) => all[dimension])].join("\u0000");
        const row = rows.get(name) ?? { ...(step === "total" ? {} : { start: new Date(start * 1000).toISOString() }), ...Object.fromEntries(by.map((dimension) => [dimension, all[dimension]])), requests: 0, failed: 0, limited: 0, cache_hits: 0, guard_blocks: 0, estimated: 0, input_tokens: 0, cached_tokens: 0, cache_write_tokens: 0, output_tokens: 0, reasoning_tokens: 0, cost_usd: 0, first_token_bins: [], total_bins: [], p50_first_token_ms: mix.first, p95_first_token_ms: mix.first * 3, p50_total_ms: mix.total, p95_total_ms: mix.total * 2.5 };
        row.requests += requests;
        row.failed += failed;
        row.limited += limited;
        row.cache_hits += mix.route === "embeddings" ? Math.round(requests * 0.4) : 0;
        row.guard_blocks += next() < 0.008 ? 1 : 0;
        row.input_tokens += requests * 820;
        row.cached_tokens += requests * 210;
        row.output_tokens += mix.route === "embeddings" ? 0 : requests * 290;
        row.cost_usd += requests * mix.cost;
        row.first_token_bins.push(...bins(mix.first, requests, next));
        row.total_bins.push(...bins(mix.total, requests, next));
        rows.set(name, row);
      }
    }
  }
  return [...rows.values()];
}

const KINDS_OF_REQUESTS = ["plain", "retry", "fallback", "cache", "limit", "guard", "failed", "truncated"];
const CHANCES = [0.8, 0.85, 0.91, 0.94, 0.96, 0.975, 0.99, 1];

function attemptsOf(kind, target, total, next) {
  const attempt = (part) => ({ target, part: "whole", key: null, result: "answered", http_status: 200, detail: null, began_ms: 1, ms: total - 1, ...part });
  switch (kind) {
    case "retry":
      return [attempt({ result: "429", http_status: 429, ms: 92, key: 0, detail: "the key is rate-limited" }), attempt({ began_ms: 95, ms: Math.max(120, total - 95), key: 1 })];
    case "fallback":
      return [attempt({ result: "5xx", http_status: 503, ms: 640, detail: "the provider answered 503: overloaded" }), attempt({ target: "local/qwq-32b", began_ms: 645, ms: Math.max(300, total - 645) })];
    case "failed":
      return [attempt({ result: "timeout", http_status: null, ms: 3000, detail: "no first byte within 3 s" }), attempt({ target: "local/qwq-32b", result: "connect", http_status: null, began_ms: 3004, ms: 12, detail: "connection refused" })];
    case "truncated":
      return [attempt({ result: "truncated" })];
    case "plain":
      return [attempt({ key: next() < 0.1 ? 1 : 0 })];
    default:
      return [];
  }
}

/** One request of the log; the number decides everything but the time. */
export function request(number, at) {
  const next = random(number * 977 + 5);
  const dice = next();
  const kind = KINDS_OF_REQUESTS[CHANCES.findIndex((bound) => dice < bound)];
  const mix = MIX[next() < 0.66 ? 0 : Math.floor(next() * MIX.length)];
  const [consumer, group] = CONSUMERS[Math.floor(next() ** 2 * CONSUMERS.length)];
  const isCalled = !["cache", "limit", "guard"].includes(kind);
  const total = kind === "failed" ? 3020 : isCalled ? Math.round(mix.total * (0.5 + next())) + (kind === "fallback" ? 900 : 0) : Math.round(3 + next() * 9);
  const attempts = attemptsOf(kind, `${mix.provider}/${mix.model}`, total, next);
  const hasAnswer = isCalled && kind !== "failed";
  const flags = { retry: ["retry"], fallback: ["fallback"], failed: ["fallback"], cache: ["cache"], limit: ["limit"], guard: ["guard"] }[kind] ?? [];
  const base = kind === "fallback" ? 925 : kind === "retry" ? mix.first + 95 : mix.first;
  return {
    row: {
      id: `req_${((number * 2654435761) >>> 0).toString(16).padStart(8, "0")}${number.toString(16).padStart(6, "0")}`,
      at: new Date(at).toISOString(), at_ms: at, operation: mix.route === "embeddings" ? "embeddings" : "chat", consumer, group, key: `key_${number % 5}`, route: mix.route, model: mix.route === "chat" ? "gpt-4o" : mix.model,
      stream: mix.route !== "embeddings", target: hasAnswer ? attempts.at(-1).target : null,
      outcome: { cache: "answered", limit: "refused", guard: "blocked", failed: "failed", truncated: "truncated" }[kind] ?? "answered", status: { limit: 429, guard: 400, failed: 502 }[kind] ?? 200,
      error: { failed: "upstream_unavailable", limit: "rate_limit_exceeded", guard: "content_blocked", truncated: "stream_interrupted" }[kind] ?? null,
      limit: kind === "limit" ? "daily-tokens" : null, cache: kind === "cache" ? "hit" : null, blocked_by: kind === "guard" ? "personal-data" : null, client: number % 3 ? "openai-python/3.52" : "openai-node/7.55", user: null, continued: false,
      input_tokens: ["limit", "guard"].includes(kind) ? 0 : 40 + Math.floor(next() * 900), cached_tokens: 0, cache_write_tokens: 0, output_tokens: hasAnswer && mix.route !== "embeddings" ? Math.floor(next() * 500) : 0, reasoning_tokens: 0, counted: "reported",
      cost_usd: isCalled ? mix.cost * (0.5 + next()) : 0, first_token_ms: hasAnswer ? Math.min(total, Math.round(base * (0.8 + next() * 0.4))) : null, total_ms: total, flags, attempts: attempts.length,
    },
    attempts,
    guards: kind === "guard" ? [{ guard: "personal-data", phase: "request", result: "block", label: "email", level: "high" }] : [],
  };
}

const KIND_NAMES = [["openai", "OpenAI", "OpenAI"], ["deepseek", "DeepSeek", "深度求索 DeepSeek"], ["qwen", "Qwen (Alibaba Cloud)", "通义千问"], ["anthropic", "Anthropic", "Anthropic"], ["gemini", "Google Gemini", "谷歌 Gemini"], ["azure", "Azure OpenAI", "微软 Azure OpenAI"], ["moonshot", "Moonshot AI", "月之暗面"], ["zhipu", "Zhipu AI", "智谱 AI"], ["doubao", "Doubao (Volcengine)", "豆包(火山引擎)"], ["hunyuan", "Tencent Hunyuan", "腾讯混元"], ["mistral", "Mistral AI", "Mistral AI"], ["groq", "Groq", "Groq"], ["openrouter", "OpenRouter", "OpenRouter"], ["xai", "xAI", "xAI"], ["cloudflare", "Workers AI", "Workers AI"], ["openai-compatible", "OpenAI-compatible server", "OpenAI 兼容服务"]];
export const KINDS = KIND_NAMES.map(([name, en, zh]) => ({ name, title: { en, zh }, base_url: name === "openai-compatible" || name === "azure" ? null : `https://api.${name}.com/v1`, endpoints: ["chat"], needs_base_url: name === "openai-compatible", needs_account: name === "azure" || name === "cloudflare", takes_api_version: name === "azure", keyless: name === "openai-compatible", keys_url: name === "openai-compatible" ? null : `https://platform.${name}.com/api-keys` }));
