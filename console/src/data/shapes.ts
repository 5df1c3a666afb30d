// Answers of calls that the OpenAPI document of this version does not have, by CONTRACT.md section 8.
// Everything that an older gateway may lack is optional.

export interface TargetRow {
  target: string;
  provider: string;
  model: string;
  route?: string;
  start?: string;
  calls: number;
  answered: number;
  by_result: Record<string, number>;
  p50_first_token_ms: number | null;
  p95_first_token_ms: number | null;
  p50_total_ms: number | null;
  p95_total_ms: number | null;
  retried: number;
  hedged: number;
  share: number;
  output_tokens: number;
  cost_usd: number;
}

/** Targets and keys that cool down, as isolates report them. Those that are not listed are well. */
export interface Health {
  at: string;
  /** Isolates that served a request in the last two minutes, at least. */
  isolates: number;
  targets: RestingTarget[];
  keys: { provider: string; key: number; resting: number; until: string }[];
}

export interface RestingTarget {
  target: string;
  provider: string;
  model: string;
  /** Isolates in which it cools down. */
  resting: number;
  until: string;
}

export interface Kind {
  name: string;
  title: { en: string; zh: string };
  base_url: string | null;
  needs_base_url: boolean;
  needs_account: boolean;
  takes_api_version: boolean;
  /** Whether a key is optional. */
  keyless: boolean;
  keys_url: string | null;
}

export interface TestResult {
  ok: boolean;
  status: number | null;
  first_token_ms: number | null;
  total_ms: number;
  text?: string;
  error: { result: string | null; detail: string | null; message: string } | null;
  usage_reported?: boolean;
}

export interface Match {
  route: string | null;
  error?: string | null;
  targets?: { target: string; share: number }[];
  fallback?: { target: string }[];
  limits?: { id: string; value?: string | null }[];
}

export interface RequestRow {
  id: string;
  at_ms: number;
  operation: string | null;
  consumer: string | null;
  group: string | null;
  key: string | null;
  route: string | null;
  model: string | null;
  stream: boolean;
  target: string | null;
  outcome: string;
  status: number | null;
  error: string | null;
  /** Limit that refused the request, or that caused a fallback. */
  limit: string | null;
  cache: string | null;
  /** Guard that blocked. */
  blocked_by: string | null;
  client: string | null;
  user: string | null;
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  cost_usd: number | null;
  first_token_ms: number | null;
  total_ms: number;
  flags: string[];
  attempts: number;
}

export interface Attempt {
  target: string;
  /** Whether it asked for the whole answer, raced another one, or continued an interrupted one. */
  part: "whole" | "hedge" | "rest";
  key: number | null;
  result: string;
  http_status: number | null;
  detail: string | null;
  began_ms: number;
  ms: number;
}

export interface RequestDetail extends Omit<RequestRow, "attempts"> {
  attempts: Attempt[];
  guards: { guard: string; phase: string; result: string; label: string; level: string }[];
  prompt?: string | null;
  answer?: string | null;
}

export interface RequestPage {
  data: RequestRow[];
  cursor: string | null;
  newest?: string | null;
}

export interface VaultEntry {
  name: string;
  hint: string;
  at: string;
  by: string;
  used_by: string[];
  note?: string | null;
}

export interface SecretEntry {
  name: string;
  set: boolean;
  /** Whether it is the gateway's own. */
  reserved: boolean;
  used_by: string[];
}

export interface SessionRow {
  id: string;
  operator: string;
  at: string;
  seen_at?: string | null;
  address?: string | null;
  agent?: string | null;
  current?: boolean;
}

export interface GuardCheck {
  result: "pass" | "mask" | "block" | "error" | "off";
  findings: { label: string; level: string }[];
  /** The text with its data replaced. */
  masked?: string | null;
  error?: string | null;
}
