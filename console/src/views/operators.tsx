// Operators, their sessions, and the audit log.

import { useState } from "preact/hooks";

import { href, param, setQuery } from "../app/router";
import { may, session, signOut } from "../app/session";
import { call, escapePath, get, withQuery } from "../data/client";
import type { components } from "../data/api";
import type { Document } from "../data/document";
import { reload, useResource, type Page } from "../data/resource";
import type { SessionRow } from "../data/shapes";
import { Button, TextField } from "../kit/controls";
import { Confirm, toast } from "../kit/dialog";
import { ago, dayTime, moment } from "../kit/format";
import { Badge, Empty, Head, Load, Notice, Panel, Tabs } from "../kit/layout";
import { ChangeList } from "../kit/publish";
import { Table } from "../kit/table";
import { t, type Key } from "../lang";

type Entry = components["schemas"]["AuditEntry"];

function Operators() {
  const config = useResource<Document>("config");
  return (
    <Panel title={t("operators.title")} about={t("operators.title_about")} flush>
      <Load of={config}>
        {(document) => {
          const rows = [{ name: "admin", role: "owner", token: "secret:ADMIN_TOKEN" }, ...(document.admin?.operators ?? [])];
          return (
            <Table caption={t("operators.title")} rows={rows} id={(row) => row.name} columns={[
              { head: t("operators.name"), cell: (row) => <span class="row"><strong>{row.name}</strong>{row.name === session.value?.operator && <Badge kind="accent">{t("operators.you")}</Badge>}</span> },
              { head: t("operators.role"), cell: (row) => <>{t(`role.${row.role}` as Key)} <span class="muted small">{t(`role.${row.role}_may` as Key)}</span></> },
              { head: t("operators.token"), cell: (row) => <span class="tag">{row.token}</span> },
            ]} />
          );
        }}
      </Load>
    </Panel>
  );
}

function Sessions() {
  const sessions = useResource<Page<SessionRow>>("sessions", { every: 30_000 });
  const [ending, setEnding] = useState<SessionRow | null>(null);
  const [isEndingAll, setEndingAll] = useState(false);
  return (
    <Panel title={t("operators.sessions")} about={may("owner") ? t("operators.sessions_all") : t("operators.sessions_own")} flush actions={<Button small kind="danger" onClick={() => setEndingAll(true)}>{t("operators.end_all")}</Button>}>
      <Load of={sessions}>
        {(page) => (
          <Table caption={t("operators.sessions")} rows={page.data} id={(row) => row.id} columns={[
            { head: t("operators.name"), cell: (row) => <span class="row"><strong>{row.operator}</strong>{row.current && <Badge kind="accent">{t("operators.this")}</Badge>}</span> },
            { head: t("operators.since"), cell: (row) => <span title={moment(row.at)}>{ago(row.at)}</span> },
            { head: t("operators.seen"), cell: (row) => ago(row.seen_at) },
            { head: t("operators.from"), cell: (row) => row.address ?? "–" },
            { head: t("operators.agent"), wrap: true, cell: (row) => <span class="small muted">{row.agent ?? "–"}</span> },
            { head: "", end: true, cell: (row) => <Button small kind="danger" onClick={() => setEnding(row)}>{t("operators.end")}</Button> },
          ]} />
        )}
      </Load>
      {ending && (
        <Confirm title={t("operators.end_title", { name: ending.operator })} action={t("operators.end")} onClose={() => setEnding(null)} onConfirm={async () => {
          if (ending.current) return signOut();
          await call("DELETE", `sessions/${escapePath(ending.id)}`);
          reload("sessions");
          toast(t("operators.ended"));
          setEnding(null);
        }}>
          <p>{t("operators.end_about")}</p>
        </Confirm>
      )}
      {isEndingAll && (
        <Confirm title={t("operators.end_all")} action={t("operators.end_all")} onClose={() => setEndingAll(false)} onConfirm={async () => {
          await call("DELETE", withQuery("sessions", { operator: session.value?.operator }));
          await signOut();
        }}>
          <p>{t("operators.end_all_about")}</p>
        </Confirm>
      )}
    </Panel>
  );
}

type Changes = components["schemas"]["ConfigurationChange"]["changes"];

function Detail({ of }: { of: Entry }) {
  const changes = of.detail?.changes as Changes | undefined;
  if (Array.isArray(changes)) return <ChangeList changes={changes} />;
  return of.detail ? <pre class="code">{JSON.stringify(of.detail, null, 2)}</pre> : <p class="muted">–</p>;
}

function linkOf(target: string): string | null {
  const [kind, id, part] = target.split("/");
  if (kind === "consumer" && id) return `consumers/${id}`;
  if (kind === "limit" && id) return `limits/${id}`;
  if (kind === "config") return `configuration?tab=versions${part ? `&version=${part}` : ""}`;
  return null;
}

function Audit() {
  const filters = { target: param("target"), action: param("action"), by: param("by"), from: param("from"), to: param("to") };
  const path = withQuery("audit", { limit: 100, ...filters });
  const audit = useResource<Page<Entry>>(path, { every: 30_000 });
  const [open, setOpen] = useState<string | null>(null);
  const [more, setMore] = useState<{ of: string; rows: Entry[]; cursor: string | null } | null>(null);
  const further = more?.of === path ? more : null;
  const cursor = further ? further.cursor : audit.data?.cursor;
  async function readMore(): Promise<void> {
    const page = await get<Page<Entry>>(withQuery("audit", { limit: 100, ...filters, cursor }));
    setMore({ of: path, rows: [...(further?.rows ?? []), ...page.data], cursor: page.cursor });
  }
  return (
    <>
      <div class="filters">
        <TextField label={t("audit.target")} type="search" value={filters.target} placeholder="consumer/acme" onInput={(target) => setQuery({ target })} />
        <TextField label={t("audit.action")} value={filters.action} placeholder="config.put" onInput={(action) => setQuery({ action })} />
        <TextField label={t("audit.by")} value={filters.by} onInput={(by) => setQuery({ by })} />
      </div>
      <Panel flush footer={cursor ? <Button small onClick={() => void readMore()}>{t("action.more", { n: 100 })}</Button> : undefined}>
        <Load of={audit}>
          {(page) => {
            const rows = [...page.data, ...(further?.rows ?? [])];
            const chosen = rows.find((row) => row.id === open);
            return rows.length === 0 ? <Empty title={t("audit.none")}><p>{t("audit.none_why")}</p></Empty> : (
              <>
                <Table caption={t("audit.title")} rows={rows} id={(row) => row.id} selected={open ?? undefined} onOpen={(row) => setOpen(row.id === open ? null : row.id)} columns={[
                  { head: t("time.time"), cell: (row) => <button type="button" class="link" aria-expanded={row.id === open} onClick={() => setOpen(row.id === open ? null : row.id)}>{dayTime(row.at)}</button> },
                  { head: t("audit.by"), cell: (row) => <>{row.by} <span class="muted small">{t(`role.${row.role}`)}</span></> },
                  { head: t("audit.action"), cell: (row) => <span class="row"><span class="tag">{row.action}</span>{row.failed && <Badge kind="bad">{row.failed}</Badge>}</span> },
                  { head: t("audit.target"), wrap: true, cell: (row) => { const to = linkOf(row.target); return to ? <a href={href(to)}>{row.target}</a> : row.target; } },
                  { head: t("operators.from"), cell: (row) => row.address ?? "–" },
                  { head: t("error.request"), cell: (row) => <code class="small">{row.request_id.slice(0, 16)}</code> },
                ]} />
                {chosen && <div class="body detail"><h3>{chosen.action} · {chosen.target}</h3><Detail of={chosen} /></div>}
              </>
            );
          }}
        </Load>
      </Panel>
    </>
  );
}

export function View() {
  const tab = param("tab", "operators");
  return (
    <>
      <Head title={t("nav.operators")} about={t("operators.about")} />
      <Tabs tabs={[{ id: "operators", label: t("operators.title") }, { id: "audit", label: t("audit.title") }]} />
      {tab === "audit" ? <Audit /> : <><Operators /><Sessions />{!may("owner") && <Notice kind="info">{t("operators.change")}</Notice>}</>}
    </>
  );
}
