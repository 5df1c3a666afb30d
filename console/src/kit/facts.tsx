// Facts of requests that several screens show the same way.

import { href } from "../app/router";
import type { RequestRow } from "../data/shapes";
import { t, type Key } from "../lang";
import { clock, count, money, ms } from "./format";
import type { IconName } from "./icons";
import { Badge, Swatch, colorOf } from "./layout";
import type { Column } from "./table";

const OUTCOMES: Record<string, { kind?: "good" | "warn" | "bad"; key: Key }> = {
  answered: { kind: "good", key: "outcome.answered" },
  refused: { kind: "warn", key: "outcome.refused" },
  blocked: { kind: "warn", key: "outcome.blocked" },
  truncated: { kind: "bad", key: "outcome.truncated" },
  failed: { kind: "bad", key: "outcome.failed" },
  hung_up: { key: "outcome.hung_up" },
};

export const OUTCOME_NAMES = Object.keys(OUTCOMES);

export function Outcome({ name }: { name: string }) {
  const known = OUTCOMES[name];
  return <Badge kind={known?.kind}>{known ? t(known.key) : name}</Badge>;
}

const FLAGS: Record<string, { icon: IconName; key: Key }> = {
  retry: { icon: "retry", key: "flag.retry" },
  fallback: { icon: "fallback", key: "flag.fallback" },
  hedge: { icon: "hedge", key: "flag.hedge" },
  continued: { icon: "bolt", key: "flag.continued" },
  cache: { icon: "cache", key: "flag.cache" },
  guard: { icon: "guards", key: "flag.guard" },
  limit: { icon: "limits", key: "flag.limit" },
};

export function Flags({ of }: { of: string[] }) {
  return <span class="row">{of.map((flag) => { const known = FLAGS[flag]; return known ? <Badge key={flag} icon={known.icon}>{t(known.key)}</Badge> : <Badge key={flag}>{flag}</Badge>; })}</span>;
}

/** Provider and model with the provider's color. A model that the caller named itself may be left out. */
export function TargetName({ name, asked }: { name: string; asked?: string | null }) {
  const [provider = name, ...rest] = name.split("/");
  const model = rest.join("/") === asked ? [] : rest;
  return <span class="row nowrap"><Swatch color={colorOf(provider)} /><span>{provider}{model.length > 0 && <span class="muted"> / {model.join("/")}</span>}</span></span>;
}

export const tokensPerSecond = (row: Pick<RequestRow, "output_tokens" | "total_ms" | "first_token_ms">): number | null => {
  const spent = row.total_ms - (row.first_token_ms ?? 0);
  return row.output_tokens && row.first_token_ms !== null && spent > 50 ? (row.output_tokens / spent) * 1000 : null;
};

export const requestPath = (row: Pick<RequestRow, "id" | "at_ms">): string => `requests?id=${encodeURIComponent(row.id)}&at=${new Date(row.at_ms).toISOString()}`;

export function requestColumns(openDetail?: (row: RequestRow) => void): Column<RequestRow>[] {
  return [
    { head: t("time.time"), cell: (row) => openDetail ? <button type="button" class="link" onClick={() => openDetail(row)}>{clock(row.at_ms)}</button> : <a href={href(requestPath(row))}>{clock(row.at_ms)}</a> },
    { head: t("requests.outcome"), cell: (row) => <span class="row"><Outcome name={row.outcome} />{(row.status ?? 0) >= 400 && <span class="muted">{row.status}</span>}</span> },
    { head: t("requests.consumer"), cell: (row) => row.consumer ?? "–" },
    { head: t("requests.model"), cell: (row) => <span class="clip" title={row.model ?? undefined}>{row.model ?? "–"}</span> },
    { head: t("requests.target"), cell: (row) => (row.target ? <TargetName name={row.target} asked={row.model} /> : "–") },
    { head: t("requests.flags"), cell: (row) => <Flags of={row.flags} /> },
    { head: t("requests.tokens"), end: true, cell: (row) => row.input_tokens + row.output_tokens === 0 ? "–" : `${count(row.input_tokens)} → ${count(row.output_tokens)}` },
    { head: t("requests.speed"), end: true, cell: (row) => { const speed = tokensPerSecond(row); return speed === null ? "–" : speed.toFixed(0); } },
    { head: t("requests.first_token"), end: true, cell: (row) => ms(row.first_token_ms) },
    { head: t("requests.total"), end: true, cell: (row) => ms(row.total_ms) },
    { head: t("requests.cost"), end: true, cell: (row) => money(row.cost_usd) },
  ];
}
