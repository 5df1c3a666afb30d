// Consumers: who may call the gateway, page by page.

import { useState } from "preact/hooks";

import { go, href, param, segments, setQuery } from "../app/router";
import { call, get, withQuery } from "../data/client";
import type { components } from "../data/api";
import type { Document } from "../data/document";
import { forget, useResource, type Page, type Reader } from "../data/resource";
import { useAttempt } from "../kit/attempt";
import { Button, CheckList, SelectField, TextField } from "../kit/controls";
import { Dialog, toast } from "../kit/dialog";
import { count, moment } from "../kit/format";
import { Badge, Empty, ErrorNotice, Head, Load, Panel } from "../kit/layout";
import { Table } from "../kit/table";
import { t } from "../lang";
import { ConsumerDetail } from "./consumers/detail";

export type Consumer = components["schemas"]["Consumer"];

const PAGE = 200;

/** Pages of one search at most: the store knows no groups, so pages of a group may have few rows. */
const MAX_PAGES_SEARCHED = 60;

/** Reads from a cursor until a page is full, or no consumer is left. */
async function search(path: string, from: string | null, options?: Parameters<Reader<unknown>>[1]): Promise<Page<Consumer>> {
  const found: Consumer[] = [];
  let cursor = from;
  for (let pages = 0; pages < MAX_PAGES_SEARCHED; pages++) {
    const page = await get<Page<Consumer>>(cursor ? `${path}&cursor=${encodeURIComponent(cursor)}` : path, options);
    found.push(...page.data);
    cursor = page.cursor;
    if (!cursor || found.length >= PAGE) break;
  }
  return { data: found, cursor };
}

const readFirst: Reader<Page<Consumer>> = async (path, options) => ({ data: await search(path, null, options), etag: null });

function NewConsumer({ document, onClose }: { document: Document | undefined; onClose: () => void }) {
  const [id, setId] = useState("");
  const [group, setGroup] = useState("");
  const [routes, setRoutes] = useState<string[]>([]);
  const { error, busy, attempt } = useAttempt();
  const [isTried, setTried] = useState(false);
  const invalid = /^[A-Za-z0-9._-]{1,100}$/.test(id) ? undefined : t("consumers.id_rule");
  const own = error?.field === "id" || error?.code === "already_exists" ? (error.code === "already_exists" ? t("form.taken") : error.message) : undefined;
  async function create(): Promise<void> {
    setTried(true);
    if (invalid) return;
    await attempt(async () => {
      await call("POST", "consumers", { body: { id, ...(group ? { group } : {}), ...(routes.length > 0 ? { routes } : {}) } });
      forget("consumers");
      toast(t("consumers.created", { id }));
      onClose();
      go(`consumers/${encodeURIComponent(id)}`);
    });
  }
  return (
    <Dialog title={t("consumers.add")} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="editor" busy={busy} onClick={() => void create()}>{t("action.create")}</Button></>}>
      {error && !own && error.field !== "group" && <ErrorNotice error={error} />}
      <div class="form">
        <TextField label={t("consumers.id")} hint={t("consumers.id_hint")} value={id} error={(isTried ? invalid : undefined) ?? own} onInput={setId} focus />
        <TextField label={t("consumers.group")} hint={t("consumers.group_hint")} value={group} error={error?.field === "group" ? error.message : undefined} list={(document?.groups ?? []).map((one) => one.id)} onInput={setGroup} />
        <CheckList label={t("consumers.routes")} hint={t("consumers.routes_hint")} choices={(document?.routes ?? []).map((route) => ({ value: route.id, label: route.id }))} value={routes} onChange={setRoutes} />
      </div>
    </Dialog>
  );
}

function List({ document }: { document: Document | undefined }) {
  const [isAdding, setAdding] = useState(false);
  const [more, setMore] = useState<{ of: string; rows: Consumer[]; cursor: string | null } | null>(null);
  const [busy, setBusy] = useState(false);
  const prefix = param("prefix");
  const group = param("group");
  const path = withQuery("consumers", { limit: PAGE, prefix, group });
  const first = useResource<Page<Consumer>>(path, { reader: readFirst });
  const further = more?.of === path ? more : null;
  const cursor = further ? further.cursor : first.data?.cursor;
  async function readMore(): Promise<void> {
    if (!cursor || busy) return;
    setBusy(true);
    try {
      const page = await search(path, cursor);
      setMore({ of: path, rows: [...(further?.rows ?? []), ...page.data], cursor: page.cursor });
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "bad");
    }
    setBusy(false);
  }
  return (
    <>
      <Head title={t("nav.consumers")} about={t("consumers.about")}>
        <Button kind="primary" icon="plus" need="editor" onClick={() => setAdding(true)}>{t("consumers.add")}</Button>
      </Head>
      <div class="filters">
        <TextField label={t("consumers.search")} type="search" value={prefix} placeholder={t("consumers.search_hint")} onInput={(value) => setQuery({ prefix: value.trim() })} />
        <SelectField label={t("consumers.group")} value={group} onChange={(value) => setQuery({ group: value })} choices={[{ value: "", label: t("filter.all") }, ...[...new Set([...(document?.groups ?? []).map((one) => one.id), ...(group ? [group] : [])])].map((id) => ({ value: id, label: id }))]} />
      </div>
      <Load of={first}>
        {(page) => {
          const rows = [...page.data, ...(further?.rows ?? [])];
          return (
            <Panel title={t("consumers.shown", { n: rows.length, count: count(rows.length) })} flush footer={cursor ? <Button small busy={busy} onClick={() => void readMore()}>{t("action.more", { n: PAGE })}</Button> : undefined}>
              {rows.length === 0 ? <Empty title={prefix || group ? t("consumers.none_found") : t("consumers.none")}><p>{t("consumers.none_why")}</p></Empty> : (
                <Table
                  caption={t("nav.consumers")}
                  rows={rows}
                  id={(row) => row.id}
                  to={(row) => `consumers/${encodeURIComponent(row.id)}`}
                  columns={[
                    { head: t("consumers.id"), cell: (row) => <a href={href(`consumers/${encodeURIComponent(row.id)}`)}><strong>{row.id}</strong></a>, sort: (row) => row.id },
                    { head: t("consumers.group"), cell: (row) => (row.group ? <span class="tag">{row.group}</span> : "–"), sort: (row) => row.group ?? "" },
                    { head: t("consumers.routes"), cell: (row) => (row.routes ? row.routes.join(", ") : <span class="muted">{t("consumers.all_routes")}</span>) },
                    { head: t("consumers.source"), cell: (row) => (row.source === "configuration" ? <Badge>{t("consumers.from_config")}</Badge> : <Badge kind="accent">{t("consumers.from_admin")}</Badge>) },
                    { head: t("consumers.state"), cell: (row) => (row.disabled ? <Badge kind="bad">{t("consumers.disabled")}</Badge> : <Badge kind="good">{t("consumers.active")}</Badge>) },
                    { head: t("consumers.created_at"), cell: (row) => moment(row.created_at), sort: (row) => row.created_at ?? "" },
                  ]}
                />
              )}
            </Panel>
          );
        }}
      </Load>
      {isAdding && <NewConsumer document={document} onClose={() => setAdding(false)} />}
    </>
  );
}

export function View() {
  const config = useResource<Document>("config");
  const id = segments()[1];
  return id ? <ConsumerDetail key={id} id={id} document={config.data} /> : <List document={config.data} />;
}
