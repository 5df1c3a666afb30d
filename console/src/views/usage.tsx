// Usage: one metric over time, by two dimensions, with filters, a table, and CSV.

import { useMemo } from "preact/hooks";

import { href, param, query, setQuery } from "../app/router";
import { Plot, type Line } from "../chart/plot";
import { useResource } from "../data/resource";
import { byTime, groupBy, nameIn, period, pollEvery, readUsage, success, times, totals, usagePath, percentile, type Dimension, type Filters, type Period, type Usage, type UsageRow } from "../data/usage";
import { Button, SelectField, TextField } from "../kit/controls";
import { count, money, ms, percent, short } from "../kit/format";
import { Empty, Head, Load, Panel, SERIES, Tile, colorOf } from "../kit/layout";
import { RangePicker } from "../kit/range";
import { Table, type Column } from "../kit/table";
import { t, type Key } from "../lang";

const DIMENSIONS: Dimension[] = ["model", "provider", "route", "consumer", "group", "key", "limit", "user", "client"];
/** Dimensions that are counted apart: alone, or with the consumer. */
const APART: Dimension[] = ["key", "limit", "user", "client"];
const isAllowed = (one: Dimension, other: Dimension): boolean => one !== other && (!APART.includes(one) || other === "consumer") && (!APART.includes(other) || one === "consumer");
const FILTERS: Dimension[] = ["route", "consumer", "group", "model", "provider"];
const TOP = 8;

interface Metric {
  of: (rows: UsageRow[]) => number | null;
  format: (value: number) => string;
  isSum: boolean;
}

const METRICS: Record<string, Metric> = {
  requests: { of: (rows) => totals(rows).requests, format: short, isSum: true },
  cost: { of: (rows) => totals(rows).cost_usd, format: money, isSum: true },
  tokens: { of: (rows) => { const sum = totals(rows); return sum.input_tokens + sum.output_tokens; }, format: short, isSum: true },
  output_tokens: { of: (rows) => totals(rows).output_tokens, format: short, isSum: true },
  failed: { of: (rows) => totals(rows).failed, format: short, isSum: true },
  limited: { of: (rows) => totals(rows).limited, format: short, isSum: true },
  success: { of: (rows) => success(totals(rows)), format: (value) => percent(value), isSum: false },
  first_token: { of: (rows) => percentile(rows, "first_token", 0.95), format: ms, isSum: false },
  total: { of: (rows) => percentile(rows, "total", 0.95), format: ms, isSum: false },
};

interface Group {
  name: string;
  parts: string[];
  rows: UsageRow[];
}

function groups(rows: UsageRow[], by: Dimension[], metric: Metric): Group[] {
  const found = [...groupBy(rows, (row) => by.map((dimension) => nameIn(row, dimension)).join(" · "))].map(([name, group]) => ({ name, parts: by.map((dimension) => nameIn(group[0] ?? {}, dimension)), rows: group }));
  const size = (group: Group): number => (metric.isSum ? (metric.of(group.rows) ?? 0) : totals(group.rows).requests);
  return found.sort((left, right) => size(right) - size(left));
}

function lines(all: Group[], at: Period, metric: Metric, by: Dimension[]): Line[] {
  const line = (label: string, rows: UsageRow[], color: string): Line => ({ label, color, values: byTime(rows, at).map((slot) => (slot.length === 0 && !metric.isSum ? null : metric.of(slot))) });
  const rest = all.slice(TOP).flatMap((group) => group.rows);
  return [
    ...all.slice(0, TOP).map((group, index) => line(group.name, group.rows, by.join() === "provider" ? colorOf(group.parts[0] ?? "") : (SERIES[index] ?? "var(--s8)"))),
    ...(rest.length > 0 ? [line(t("chart.other"), rest, "var(--muted)")] : []),
  ];
}

const COLUMNS = ["requests", "failed", "limited", "cache_hits", "guard_blocks", "input_tokens", "output_tokens", "cost_usd"] as const;

/** Cell of a CSV file. A leading `= + - @` would be a formula in a spreadsheet. */
export function csvCell(value: string | number): string {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function saveCsv(rows: UsageRow[], by: Dimension[]): void {
  const head = ["start", ...by, ...COLUMNS];
  const body = rows.map((row) => [row.start ?? "", ...by.map((dimension) => row[dimension] ?? ""), ...COLUMNS.map((column) => row[column] ?? 0)]);
  const text = [head, ...body].map((line) => line.map(csvCell).join(",")).join("\r\n");
  const url = URL.createObjectURL(new Blob([`\ufeff${text}\r\n`], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "serin-usage.csv";
  link.click();
  URL.revokeObjectURL(url);
}

export function View() {
  const at = period("24h");
  const name = param("metric", "requests");
  const metric = METRICS[name] ?? METRICS.requests!;
  const by: Dimension[] = [param("by", "model"), param("then")].filter((one): one is Dimension => DIMENSIONS.includes(one as Dimension)).filter((one, index, all) => index === 0 || isAllowed(all[0]!, one));
  const filters = useMemo<Filters>(() => Object.fromEntries(FILTERS.map((dimension) => [dimension, query.value.getAll(dimension)])), [query.value]);
  const usage = useResource<Usage>(usagePath(at, at.step, by, filters), { every: pollEvery(at.range), reader: readUsage });
  const rows = usage.data?.data;
  const all = useMemo(() => groups(rows ?? [], by, metric), [rows, name, by.join()]);
  const x = useMemo(() => times(at), [at.from, at.to]);
  const chart = useMemo(() => lines(all, at, metric, by), [all, at.from]);
  const sum = totals(rows ?? []);
  const choice = (dimension: Dimension) => ({ value: dimension, label: t(`dimension.${dimension}` as Key) });
  const isSet = FILTERS.some((dimension) => query.value.has(dimension));
  const columns: Column<Group>[] = [
    ...by.map((dimension, index): Column<Group> => ({
      head: t(`dimension.${dimension}` as Key),
      cell: (group) => {
        const value = group.parts[index] ?? "–";
        return FILTERS.includes(dimension) && value !== "–" ? <button type="button" class="link" title={t("usage.filter_by", { value })} onClick={() => setQuery({ [dimension]: value }, true)}>{value}</button> : value;
      },
      sort: (group) => group.parts[index] ?? "",
    })),
    { head: t("overview.requests"), end: true, cell: (group) => count(totals(group.rows).requests), sort: (group) => totals(group.rows).requests },
    { head: t("overview.success"), end: true, cell: (group) => percent(success(totals(group.rows))), sort: (group) => success(totals(group.rows)) ?? -1 },
    { head: t("overview.limited"), end: true, cell: (group) => count(totals(group.rows).limited), sort: (group) => totals(group.rows).limited },
    { head: t("usage.input"), end: true, cell: (group) => short(totals(group.rows).input_tokens), sort: (group) => totals(group.rows).input_tokens },
    { head: t("usage.output"), end: true, cell: (group) => short(totals(group.rows).output_tokens), sort: (group) => totals(group.rows).output_tokens },
    { head: t("overview.cost"), end: true, cell: (group) => money(totals(group.rows).cost_usd), sort: (group) => totals(group.rows).cost_usd },
    { head: t("usage.first_token"), end: true, cell: (group) => ms(percentile(group.rows, "first_token", 0.95)), sort: (group) => percentile(group.rows, "first_token", 0.95) ?? 0 },
    { head: "", end: true, cell: (group) => { const target = by.flatMap((dimension, index) => (["route", "consumer", "model", "group"].includes(dimension) ? [`${dimension}=${encodeURIComponent(group.parts[index] ?? "")}`] : [])); return <a href={href(`requests?${[...target, `range=${at.range}`].join("&")}`)}>{t("nav.requests")}</a>; } },
  ];
  return (
    <>
      <Head title={t("nav.usage")} about={t("usage.about")}>
        <RangePicker value={at.range} />
        <Button icon="download" disabled={!rows || rows.length === 0} reason={t("chart.empty")} onClick={() => rows && saveCsv(rows, by)}>CSV</Button>
      </Head>
      <div class="filters">
        <SelectField label={t("usage.metric")} value={name} onChange={(metric) => setQuery({ metric })} choices={Object.keys(METRICS).map((value) => ({ value, label: t(`metric.${value}` as Key) }))} />
        <SelectField label={t("usage.by")} value={by[0] ?? ""} onChange={(value) => setQuery({ by: value })} choices={DIMENSIONS.map(choice)} />
        <SelectField label={t("usage.then")} value={by[1] ?? ""} onChange={(then) => setQuery({ then })} choices={[{ value: "", label: t("usage.no_more") }, ...DIMENSIONS.filter((one) => isAllowed(by[0]!, one)).map(choice)]} />
        {FILTERS.map((dimension) => <TextField key={dimension} label={t(`dimension.${dimension}` as Key)} type="search" value={param(dimension)} placeholder={t("filter.all")} onInput={(value) => setQuery({ [dimension]: value.trim() })} />)}
        {isSet && <Button onClick={() => setQuery(Object.fromEntries(FILTERS.map((dimension) => [dimension, null])))}>{t("filter.clear")}</Button>}
      </div>
      <Load of={usage}>
        {() => (
          <>
            <div class="tiles">
              <Tile name={t("overview.requests")} value={count(sum.requests)} />
              <Tile name={t("overview.cost")} value={money(sum.cost_usd)} />
              <Tile name={t("usage.input")} value={short(sum.input_tokens)} note={t("usage.cached", { share: percent(sum.input_tokens > 0 ? sum.cached_tokens / sum.input_tokens : null, 0) })} />
              <Tile name={t("usage.output")} value={short(sum.output_tokens)} />
              <Tile name={t("overview.success")} value={percent(success(sum), 2)} />
            </div>
            <Plot title={`${t(`metric.${name in METRICS ? name : "requests"}` as Key)} · ${by.map((one) => t(`dimension.${one}` as Key)).join(" · ")}`} sentence={t("usage.sentence", { n: all.length })} x={x} lines={chart} format={metric.format} stacked={metric.isSum} height={240} />
            <Panel title={t("usage.table")} flush>
              {all.length === 0 ? <Empty title={t("chart.empty")}><p>{t("chart.empty_why")}</p></Empty> : <Table caption={t("usage.table")} rows={all} id={(group) => group.name} columns={columns} />}
            </Panel>
          </>
        )}
      </Load>
    </>
  );
}
