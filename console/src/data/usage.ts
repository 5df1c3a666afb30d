// Usage: ranges, reading in parts, sums and series.

import type { components } from "./api";
import { ApiError, call, encodeQuery, withQuery } from "./client";
import type { Reader } from "./resource";
import { param } from "../app/router";

export type Usage = components["schemas"]["Usage"];
/** Pairs of a bin and its count: bin `n` ends at 10^(n/24) ms. */
type Bins = number[][];
export type UsageRow = Usage["data"][number] & { key?: string; limit?: string; user?: string; client?: string; first_token_bins?: Bins; total_bins?: Bins };
export type Dimension = "consumer" | "group" | "model" | "provider" | "route" | "key" | "limit" | "user" | "client";
export const MORE_DIMENSIONS: Dimension[] = ["group", "key", "limit", "user", "client"];

export type Range = "15m" | "1h" | "24h" | "7d" | "30d";
export const RANGES: Range[] = ["15m", "1h", "24h", "7d", "30d"];
export type Step = "minute" | "hour" | "day";

const SECONDS: Record<Range, number> = { "15m": 900, "1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400 };
const STEP_OF: Record<Range, Step> = { "15m": "minute", "1h": "minute", "24h": "hour", "7d": "hour", "30d": "day" };
const STEP_SECONDS: Record<Step, number> = { minute: 60, hour: 3600, day: 86_400 };
/** Days that one call may read on the free plan of Workers: 50 storage calls. */
const DAYS_PER_CALL = 12;
const DAY_MS = 86_400_000;

export interface Period {
  range: Range;
  step: Step;
  /** Seconds since 1970, at borders of the step. */
  from: number;
  to: number;
  seconds: number;
}

/** Range of the query, as borders that stay the same within a step, so that answers can be cached. */
export function period(fallback: Range = "1h", now = Date.now()): Period {
  const asked = param("range", fallback) as Range;
  const range = RANGES.includes(asked) ? asked : fallback;
  const step = STEP_OF[range];
  const size = STEP_SECONDS[step];
  const to = Math.floor(now / 1000 / size) * size + size;
  return { range, step, from: to - SECONDS[range], to, seconds: SECONDS[range] };
}

export function pollEvery(range: Range): number {
  return range === "15m" || range === "1h" ? 10_000 : 60_000;
}

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");

export type Filters = Partial<Record<Dimension, string | string[] | null>>;

export function usagePath(at: Pick<Period, "from" | "to">, step: Step | "total", by: Dimension[], filters: Filters = {}): string {
  return withQuery("usage", { by: by.length > 0 ? by.join(",") : null, step, from: iso(at.from), to: iso(at.to), bins: "true", ...filters });
}

/** Reads one part. A gateway that does not know `bins` answers without them. */
async function readPart(name: string, query: URLSearchParams, options: { signal: AbortSignal; poll: boolean }): Promise<{ data: Usage }> {
  try {
    return await call<Usage>("GET", `${name}?${encodeQuery(query)}`, options);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 400 || !query.has("bins")) throw error;
    query.delete("bins");
    return call<Usage>("GET", `${name}?${encodeQuery(query)}`, options);
  }
}

/** Reads a long range in parts, within the storage calls of the free plan. */
export const readUsage: Reader<Usage> = async (path, options) => {
  const [name = "", text = ""] = path.split("?");
  const query = new URLSearchParams(text);
  const from = Date.parse(query.get("from") ?? "");
  const to = Date.parse(query.get("to") ?? "");
  let whole: Usage | undefined;
  for (let start = from; start < to || whole === undefined; start += DAYS_PER_CALL * DAY_MS) {
    query.set("from", iso(start / 1000));
    query.set("to", iso(Math.min(start + DAYS_PER_CALL * DAY_MS, to) / 1000));
    const { data } = await readPart(name, query, options);
    if (whole === undefined) whole = data;
    else whole = { ...whole, to: data.to, data: [...whole.data, ...data.data] };
  }
  return { data: whole, etag: null };
};

export interface Totals {
  requests: number;
  failed: number;
  limited: number;
  cache_hits: number;
  guard_blocks: number;
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  cost_usd: number;
}

const ADDITIVE = ["requests", "failed", "limited", "cache_hits", "guard_blocks", "input_tokens", "output_tokens", "cached_tokens", "cost_usd"] as const;

export function totals(rows: UsageRow[]): Totals {
  const sum = Object.fromEntries(ADDITIVE.map((field) => [field, 0])) as unknown as Totals;
  for (const row of rows) for (const field of ADDITIVE) sum[field] += row[field] ?? 0;
  return sum;
}

export const answered = (of: Totals): number => of.requests - of.failed - of.limited - of.guard_blocks;
/** Share of the requests that the gateway did not refuse and that got an answer. */
export const success = (of: Totals): number | null => (of.requests - of.limited - of.guard_blocks > 0 ? answered(of) / (of.requests - of.limited - of.guard_blocks) : null);

export type Duration = "first_token" | "total";

const FIELDS = {
  first_token: { bins: "first_token_bins", 0.5: "p50_first_token_ms", 0.95: "p95_first_token_ms" },
  total: { bins: "total_bins", 0.5: "p50_total_ms", 0.95: "p95_total_ms" },
} as const;

/** Percentile over rows. Bins are added, so that it is exact to within 5 %, like the gateway's own. */
export function percentile(rows: UsageRow[], of: Duration, share: 0.5 | 0.95): number | null {
  const bins = new Map<number, number>();
  let all = 0;
  for (const row of rows) {
    for (const [bin = 0, n = 0] of row[FIELDS[of].bins] ?? []) {
      bins.set(bin, (bins.get(bin) ?? 0) + n);
      all += n;
    }
  }
  if (all === 0) return percentileOfOne(rows, of, share);
  const rank = Math.ceil(all * share);
  let seen = 0;
  for (const [bin, n] of [...bins].sort((left, right) => left[0] - right[0])) {
    seen += n;
    if (seen >= rank) return 10 ** ((bin - 0.5) / 24);
  }
  return null;
}

/** Percentile of a gateway without bins: that of the only row. Percentiles of several cannot be added. */
function percentileOfOne(rows: UsageRow[], of: Duration, share: 0.5 | 0.95): number | null {
  const known = rows.map((row) => row[FIELDS[of][share]]).filter((value) => value !== null && value !== undefined);
  return known.length === 1 ? (known[0] ?? null) : null;
}

export function times(at: Period): number[] {
  const size = STEP_SECONDS[at.step];
  return Array.from({ length: Math.round((at.to - at.from) / size) }, (_, index) => at.from + index * size);
}

export const stepSeconds = (step: Step): number => STEP_SECONDS[step];

/** Rows by the start of their step. */
export function byTime(rows: UsageRow[], at: Period): UsageRow[][] {
  const slots = times(at);
  const size = STEP_SECONDS[at.step];
  const found: UsageRow[][] = slots.map(() => []);
  for (const row of rows) {
    const index = Math.floor((Date.parse(row.start ?? "") / 1000 - at.from) / size);
    found[index]?.push(row);
  }
  return found;
}

export function groupBy(rows: UsageRow[], name: (row: UsageRow) => string): Map<string, UsageRow[]> {
  const groups = new Map<string, UsageRow[]>();
  for (const row of rows) {
    const key = name(row);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return groups;
}

export const nameIn = (row: UsageRow, dimension: Dimension): string => row[dimension] || "–";
