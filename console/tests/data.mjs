// Numbers of usage for the pictures: the same at every start, apart from the clock.

/** Pseudo-random numbers below 1, from a seed. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const CONSUMERS = [["website", "product"], ["support-bot", "product"], ["notebook", "research"], ["mobile-app", "product"], ["evaluation", "research"], ["acme", "trial"], ["globex", "trial"]];
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
export function usage({ from, to, step, by, filters }) {
  const rows = new Map();
  const size = step === "total" ? Math.max(60, Math.min(3600, (to - from) / 24)) : STEP[step];
  const now = Date.now() / 1000;
  for (let start = Math.floor(from / size) * size; start < to && start < now; start += size) {
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
