// Overview: what happens now, what it costs, what needs attention.

import { useMemo } from "preact/hooks";

import { href, param, setQuery } from "../app/router";
import { Plot, type Line } from "../chart/plot";
import type { components } from "../data/api";
import type { Document, Version } from "../data/document";
import { useResource, type Page } from "../data/resource";
import type { Health } from "../data/shapes";
import { answered, byTime, groupBy, nameIn, period, pollEvery, readUsage, success, times, totals, usagePath, percentile, type Dimension, type Period, type Usage, type UsageRow } from "../data/usage";
import { Segments } from "../kit/controls";
import { ago, count, money, ms, percent, short } from "../kit/format";
import { Badge, Empty, Head, Load, Meter, Notice, Panel, SERIES, Spark, Tile, colorOf } from "../kit/layout";
import { TargetName } from "../kit/facts";
import { RangePicker } from "../kit/range";
import { t } from "../lang";

type Audit = components["schemas"]["AuditEntry"];
type Key = components["schemas"]["Key"];
type TokensBy = "model" | "provider" | "consumer";

function Tiles({ rows, at }: { rows: UsageRow[]; at: Period }) {
  const all = totals(rows);
  const slots = byTime(rows, at).map(totals);
  const last = slots.at(-2)?.requests ?? 0;
  const rate = at.step === "minute" ? last / 60 : all.requests / at.seconds;
  const hitShare = all.requests > 0 ? all.cache_hits / all.requests : null;
  const q = `?range=${at.range}`;
  return (
    <div class="tiles">
      <Tile name={t("overview.requests")} value={short(all.requests)} note={<Spark values={slots.map((slot) => slot.requests)} label={t("overview.trend")} />} to={`requests${q}`} />
      <Tile name={t("overview.rate")} value={rate >= 10 ? rate.toFixed(0) : rate.toFixed(2)} unit="/s" note={at.step === "minute" ? t("overview.last_minute") : t("overview.mean")} />
      <Tile name={t("overview.success")} value={percent(success(all), 2)} note={all.failed > 0 ? t("overview.failed", { n: all.failed, count: count(all.failed) }) : t("overview.no_failure")} to={`requests${q}&outcome=failed`} />
      <Tile name={t("overview.first_token")} value={ms(percentile(rows, "first_token", 0.5))} note={`p95 ${ms(percentile(rows, "first_token", 0.95))}`} />
      <Tile name={t("overview.cost")} value={money(all.cost_usd)} note={all.requests > 0 ? t("overview.per_thousand", { cost: money((all.cost_usd / all.requests) * 1000) }) : undefined} to={`usage${q}`} />
      <Tile name={t("overview.tokens")} value={short(all.input_tokens + all.output_tokens)} note={`${short(all.input_tokens)} → ${short(all.output_tokens)}`} to={`usage${q}`} />
      <Tile name={t("overview.limited")} value={short(all.limited)} note={percent(all.requests > 0 ? all.limited / all.requests : null)} to="limits" />
      <Tile name={t("overview.cache_hits")} value={short(all.cache_hits)} note={percent(hitShare)} to="cache" />
      <Tile name={t("overview.blocked")} value={short(all.guard_blocks)} note={percent(all.requests > 0 ? all.guard_blocks / all.requests : null)} to="guards" />
    </div>
  );
}

function outcomes(rows: UsageRow[], at: Period): Line[] {
  const slots = byTime(rows, at).map(totals);
  return [
    { label: t("outcome.answered"), color: "var(--s1)", values: slots.map(answered) },
    { label: t("outcome.limited"), color: "var(--s7)", values: slots.map((slot) => slot.limited) },
    { label: t("outcome.blocked"), color: "var(--s4)", values: slots.map((slot) => slot.guard_blocks) },
    { label: t("outcome.failed"), color: "var(--s5)", values: slots.map((slot) => slot.failed) },
  ];
}

function latency(rows: UsageRow[], at: Period): Line[] {
  const slots = byTime(rows, at);
  return [
    { label: "p50", color: "var(--s3)", values: slots.map((slot) => percentile(slot, "first_token", 0.5)) },
    { label: "p95", color: "var(--s2)", dash: true, values: slots.map((slot) => percentile(slot, "first_token", 0.95)) },
  ];
}

function tokens(rows: UsageRow[], at: Period, by: Dimension): Line[] {
  const groups = [...groupBy(rows, (row) => nameIn(row, by))].map(([name, group]) => ({ name, group, sum: totals(group) }));
  groups.sort((left, right) => right.sum.input_tokens + right.sum.output_tokens - left.sum.input_tokens - left.sum.output_tokens);
  const top = groups.slice(0, 7);
  const rest = groups.slice(7).flatMap((one) => one.group);
  const line = (name: string, group: UsageRow[], color: string): Line => ({ label: name, color, values: byTime(group, at).map(totals).map((slot) => slot.input_tokens + slot.output_tokens) });
  return [
    ...top.map((one, index) => line(one.name, one.group, by === "provider" ? colorOf(one.name) : (SERIES[index] ?? "var(--s8)"))),
    ...(rest.length > 0 ? [line(t("chart.other"), rest, "var(--s8)")] : []),
  ];
}

function TopConsumers({ rows }: { rows: UsageRow[] }) {
  const groups = [...groupBy(rows, (row) => nameIn(row, "consumer"))].map(([name, group]) => ({ name, sum: totals(group) }));
  const hasCost = groups.some((one) => one.sum.cost_usd > 0);
  const size = (one: { sum: ReturnType<typeof totals> }): number => (hasCost ? one.sum.cost_usd : one.sum.requests);
  groups.sort((left, right) => size(right) - size(left));
  const most = size(groups[0] ?? { sum: totals([]) });
  return (
    <Panel title={t("overview.top")} about={hasCost ? t("overview.by_cost") : t("overview.by_requests")} flush>
      {groups.length === 0 ? <Empty title={t("chart.empty")} /> : (
        <div class="scroll" tabIndex={0} role="region" aria-label={t("overview.top")}><table>
          <caption class="hidden">{t("overview.top")}</caption>
          <tbody>
            {groups.slice(0, 6).map((one) => (
              <tr key={one.name}>
                <td><a href={href(`consumers/${encodeURIComponent(one.name)}`)}>{one.name}</a></td>
                <td><Meter share={most > 0 ? size(one) / most : 0} kind="var(--s1)" /></td>
                <td class="end">{hasCost ? money(one.sum.cost_usd) : count(one.sum.requests)}</td>
                <td class="end muted">{short(one.sum.requests)}</td>
              </tr>
            ))}
          </tbody>
        </table></div>
      )}
    </Panel>
  );
}

/** Keys that end within two weeks, at most as many as one call looks at. */
function Expiring() {
  const keys = useResource<Page<Key>>("keys/expiring", { every: 300_000 });
  return (
    <>
      {(keys.data?.data ?? []).slice(0, 5).map((key) => (
        <Notice key={key.id} kind="warn">
          <span>{t("overview.key_ends", { hint: key.hint, until: ago(key.expires_at ?? undefined) })} <a href={href(`consumers/${encodeURIComponent(key.consumer)}`)}>{key.consumer}</a></span>
        </Notice>
      ))}
    </>
  );
}

function Attention({ document }: { document: Document | undefined }) {
  const health = useResource<Health>("health", { every: 15_000 });
  const resting = health.data?.targets ?? [];
  const total = new Set((document?.routes ?? []).flatMap((route) => [...route.targets, ...(route.fallback ?? [])].map((target) => target.provider))).size;
  return (
    <Panel title={t("overview.health")} about={<a href={href("providers")}>{t("overview.all_providers")}</a>}>
      <Load of={health}>
        {() => resting.length === 0 ? (
          <Notice kind="good">{t("overview.all_well", { n: total })}</Notice>
        ) : (
          <div class="stack">
            {resting.map((row) => (
              <Notice key={row.target} kind="warn">
                <TargetName name={row.target} />
                <span class="small muted">{t("health.cooling", { until: ago(row.until), seen: `${row.resting}/${health.data?.isolates ?? 1}` })}</span>
              </Notice>
            ))}
          </div>
        )}
      </Load>
      <Expiring />
    </Panel>
  );
}

function Recent() {
  const audit = useResource<Page<Audit>>("audit?limit=6", { every: 60_000 });
  return (
    <Panel title={t("overview.changes")} about={<a href={href("operators?tab=audit")}>{t("overview.all_changes")}</a>} flush>
      <Load of={audit}>
        {(page) => page.data.length === 0 ? <Empty title={t("overview.no_changes")} /> : (
          <div class="scroll" tabIndex={0} role="region" aria-label={t("overview.changes")}><table>
            <caption class="hidden">{t("overview.changes")}</caption>
            <tbody>
              {page.data.map((entry) => (
                <tr key={entry.id}>
                  <td class="muted">{ago(entry.at)}</td>
                  <td><span class="tag">{entry.action}</span></td>
                  <td class="wrap">{entry.target}</td>
                  <td class="end">{entry.by}</td>
                </tr>
              ))}
            </tbody>
          </table></div>
        )}
      </Load>
    </Panel>
  );
}

export function View() {
  const at = period("1h");
  const by = param("tokens", "model") as TokensBy;
  const usage = useResource<Usage>(usagePath(at, at.step, ["consumer", "model", "provider"]), { every: pollEvery(at.range), reader: readUsage });
  const config = useResource<Document>("config");
  const versions = useResource<Page<Version>>("config/versions?limit=20", { every: 60_000 });
  const marks = useMemo(
    () => (versions.data?.data ?? []).filter((one) => one.created_at && Date.parse(one.created_at) / 1000 >= at.from).map((one) => ({ at: Date.parse(one.created_at ?? "") / 1000, label: String(one.version) })),
    [versions.data, at.from],
  );
  const x = useMemo(() => times(at), [at.from, at.to]);
  const rows = usage.data?.data;
  const lines = useMemo(() => rows && { outcomes: outcomes(rows, at), latency: latency(rows, at), tokens: tokens(rows, at, by) }, [rows, by, at.from]);
  const all = totals(rows ?? []);
  return (
    <>
      <Head title={t("nav.overview")} about={usage.at > 0 ? t("overview.about", { age: ago(usage.at) }) : undefined}><RangePicker value={at.range} /></Head>
      <Load of={usage} skeleton={<div class="skeleton-block" />}>
        {(data) => (
          <>
            {all.requests === 0 && <Notice kind="info"><span>{t("overview.quiet")} <a href={href("welcome")}>{t("overview.welcome")}</a></span></Notice>}
            <Tiles rows={data.data} at={at} />
            {lines && (
              <>
                <div class="grid two">
                  <Plot title={t("overview.by_outcome")} sentence={t("overview.outcome_sentence", { n: count(all.requests), share: percent(success(all), 2) })} x={x} lines={lines.outcomes} format={short} stacked marks={marks} />
                  <Plot title={t("overview.latency")} sentence={t("overview.latency_sentence", { p50: ms(percentile(data.data, "first_token", 0.5)), p95: ms(percentile(data.data, "first_token", 0.95)) })} x={x} lines={lines.latency} format={ms} marks={marks} />
                </div>
                <Plot
                  title={t("overview.tokens_by")}
                  sentence={t("overview.tokens_sentence", { n: short(all.input_tokens + all.output_tokens), cost: money(all.cost_usd) })}
                  x={x}
                  lines={lines.tokens}
                  format={short}
                  stacked
                  actions={<Segments<TokensBy> label={t("overview.tokens_by")} value={by} onChange={(value) => setQuery({ tokens: value })} choices={[{ value: "model", label: t("dimension.model") }, { value: "provider", label: t("dimension.provider") }, { value: "consumer", label: t("dimension.consumer") }]} />}
                />
              </>
            )}
            <div class="grid">
              <TopConsumers rows={data.data} />
              <Attention document={config.data} />
              <Recent />
            </div>
            {(config.data?.prices ?? []).length === 0 && config.data && <p class="small muted"><Badge kind="warn">{t("overview.no_prices")}</Badge> {t("overview.no_prices_why")} <a href={href("configuration")}>{t("nav.config")}</a></p>}
          </>
        )}
      </Load>
    </>
  );
}
