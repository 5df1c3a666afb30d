// Requests: the log with filters and live tail, and one request with its attempts.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import "./requests/requests.css";

import { param, query, setQuery } from "../app/router";
import { ApiError, ended, get, withQuery } from "../data/client";
import type { Document } from "../data/document";
import { useResource } from "../data/resource";
import type { RequestPage, RequestRow } from "../data/shapes";
import { RANGES, type Range } from "../data/usage";
import { Button, SelectField, TextField } from "../kit/controls";
import { OUTCOME_NAMES, requestColumns } from "../kit/facts";
import { count } from "../kit/format";
import { Empty, ErrorNotice, Head, Load, Notice, Panel } from "../kit/layout";
import { RangePicker } from "../kit/range";
import { Table } from "../kit/table";
import { t, type Key } from "../lang";
import { Histogram } from "./requests/histogram";
import { RequestDrawer } from "./requests/detail";

const FILTERS = ["route", "consumer", "group", "model", "target", "outcome", "status", "key", "min_ms"] as const;
/** Rows that the page keeps; older ones leave while it is live. */
const MAX_ROWS = 2000;
const RANGE_SECONDS: Record<Range, number> = { "15m": 900, "1h": 3600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };

function filtersOf(search: URLSearchParams): Record<string, string> {
  return Object.fromEntries(FILTERS.map((name) => [name, search.get(name) ?? ""]));
}

/** Long polls for newer requests, while the page is visible and not paused. */
function useTail(isOn: boolean, filters: Record<string, string>, newest: string | null | undefined, onRows: (rows: RequestRow[]) => void): ApiError | null {
  const [error, setError] = useState<ApiError | null>(null);
  const isReady = newest !== undefined;
  const key = JSON.stringify(filters);
  useEffect(() => {
    if (!isOn || !isReady) return undefined;
    const stop = new AbortController();
    let after = newest ?? "";
    let failures = 0;
    const pause = (time: number) => new Promise((done) => setTimeout(done, time));
    async function tail(): Promise<void> {
      while (!stop.signal.aborted) {
        if (document.visibilityState !== "visible" || ended.peek()) {
          await pause(1000);
          continue;
        }
        const begin = Date.now();
        try {
          const page = await get<RequestPage>(withQuery("requests", { ...filters, after, wait: "20s", limit: 200 }), { signal: stop.signal, poll: true });
          failures = 0;
          setError(null);
          if (page.newest) after = page.newest;
          if (page.data.length > 0) onRows(page.data);
        } catch (failure) {
          if (stop.signal.aborted) return;
          failures += 1;
          setError(failure instanceof ApiError ? failure : new ApiError(String(failure), 0, "unreachable"));
        }
        // A gateway that answers at once must not be asked in a circle.
        await pause(failures > 0 ? Math.min(30_000, 1000 * 2 ** failures) : Math.max(0, 800 - (Date.now() - begin)));
      }
    }
    void tail();
    return () => stop.abort();
  }, [isOn, isReady, key]);
  return error;
}

function Find() {
  const [id, setId] = useState("");
  return (
    <form class="row" onSubmit={(event) => { event.preventDefault(); if (id.trim()) setQuery({ id: id.trim() }, true); }}>
      <input class="find" type="search" aria-label={t("requests.find")} placeholder={t("requests.find")} autocomplete="off" value={id} onInput={(event) => setId(event.currentTarget.value)} />
      <Button type="submit">{t("requests.open")}</Button>
    </form>
  );
}

export function View() {
  const config = useResource<Document>("config");
  const filters = useMemo(() => filtersOf(query.value), [query.value]);
  const asked = param("range", "1h") as Range;
  const range = RANGES.includes(asked) ? asked : "1h";
  const isLive = param("live") === "on";
  const from = useMemo(() => new Date(Math.floor(Date.now() / 60_000) * 60_000 - RANGE_SECONDS[range] * 1000).toISOString(), [range, Math.floor(Date.now() / 600_000)]);
  const path = withQuery("requests", { ...filters, from, limit: 100 });
  const first = useResource<RequestPage>(path);
  const [newer, setNewer] = useState<{ of: string; rows: RequestRow[] }>({ of: path, rows: [] });
  const [older, setOlder] = useState<{ of: string; rows: RequestRow[]; cursor: string | null } | null>(null);
  const [busy, setBusy] = useState(false);
  const current = useRef(path);
  current.current = path;

  const tailError = useTail(isLive, filters, first.data ? (first.data.newest ?? null) : undefined, (rows) =>
    setNewer((before) => ({ of: current.current, rows: [...rows, ...(before.of === current.current ? before.rows : [])].slice(0, MAX_ROWS) })),
  );
  const further = older?.of === path ? older : null;
  const rows = useMemo(() => {
    const seen = new Set<string>();
    const all = [...(newer.of === path ? newer.rows : []), ...(first.data?.data ?? []), ...(further?.rows ?? [])];
    return all.filter((row) => !seen.has(row.id) && seen.add(row.id)).slice(0, MAX_ROWS);
  }, [newer, first.data, further, path]);
  const cursor = further ? further.cursor : first.data?.cursor;

  async function readOlder(): Promise<void> {
    setBusy(true);
    try {
      const page = await get<RequestPage>(withQuery("requests", { ...filters, from, limit: 100, cursor }));
      setOlder({ of: path, rows: [...(further?.rows ?? []), ...page.data], cursor: page.cursor });
    } finally {
      setBusy(false);
    }
  }

  const open = (row: RequestRow): void => setQuery({ id: row.id, at: new Date(row.at_ms).toISOString() }, true);
  const names = (list: string[]) => [{ value: "", label: t("filter.all") }, ...list.map((value) => ({ value, label: value }))];
  const targets = [...new Set((config.data?.routes ?? []).flatMap((route) => [...route.targets, ...(route.fallback ?? [])].map((target) => `${target.provider}/${target.model ?? route.models[0] ?? ""}`)))];
  const isSet = FILTERS.some((name) => filters[name]);
  const id = param("id");
  return (
    <>
      <Head title={t("nav.requests")} about={t("requests.about")}>
        <Find />
        <RangePicker value={range} ranges={["15m", "1h", "24h", "7d"]} />
        <Button kind={isLive ? "primary" : undefined} icon={isLive ? "pause" : "play"} pressed={isLive} onClick={() => setQuery({ live: isLive ? null : "on" })}>{isLive ? t("requests.pause") : t("requests.live")}</Button>
      </Head>
      <div class="filters">
        <SelectField label={t("requests.outcome")} value={filters.outcome ?? ""} onChange={(outcome) => setQuery({ outcome })} choices={[{ value: "", label: t("filter.all") }, ...OUTCOME_NAMES.map((value) => ({ value, label: t(`outcome.${value}` as Key) }))]} />
        <SelectField label={t("routes.route")} value={filters.route ?? ""} onChange={(route) => setQuery({ route })} choices={names((config.data?.routes ?? []).map((route) => route.id))} />
        <SelectField label={t("requests.target")} value={filters.target ?? ""} onChange={(target) => setQuery({ target })} choices={names(targets)} />
        <TextField label={t("requests.consumer")} type="search" value={filters.consumer ?? ""} onInput={(consumer) => setQuery({ consumer })} />
        <TextField label={t("requests.model")} value={filters.model ?? ""} onInput={(model) => setQuery({ model })} />
        <TextField label={t("requests.slower")} type="number" min={0} value={filters.min_ms ?? ""} placeholder="ms" onInput={(min_ms) => setQuery({ min_ms })} />
        {isSet && <Button onClick={() => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])))}>{t("filter.clear")}</Button>}
      </div>
      {first.error?.isUnknownCall ? <Notice kind="info">{t("requests.no_log")}</Notice> : (
        <>
          <Histogram filters={filters} from={from} seconds={RANGE_SECONDS[range]} isLive={isLive} />
          {tailError && tailError.status !== 401 && <ErrorNotice error={tailError} />}
          <Load of={first}>
            {() => (
              <Panel
                title={<span class="row">{t("requests.shown", { n: rows.length, count: count(rows.length) })}{isLive && <span class="live" role="status"><span class="dot" />{t("requests.is_live")}</span>}</span>}
                flush
                dense
                footer={cursor ? <Button small busy={busy} onClick={() => void readOlder()}>{t("requests.older")}</Button> : undefined}
              >
                {rows.length === 0 ? <Empty title={t("requests.none")}><p>{isSet ? t("requests.none_filtered") : t("requests.none_why")}</p></Empty> : (
                  <Table caption={t("nav.requests")} rows={rows} id={(row) => row.id} selected={id} columns={requestColumns(open)} onOpen={open} />
                )}
              </Panel>
            )}
          </Load>
        </>
      )}
      {id && <RequestDrawer key={id} id={id} at={param("at")} onClose={() => setQuery({ id: null, at: null })} />}
    </>
  );
}
