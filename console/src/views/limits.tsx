// Limits: who is nearest to one, and the balances of each.

import { useState } from "preact/hooks";

import { href, segments } from "../app/router";
import { escapePath } from "../data/client";
import type { components } from "../data/api";
import type { Document, Limit as LimitDocument, Quota } from "../data/document";
import { useResource, type Page } from "../data/resource";
import { Button } from "../kit/controls";
import { percent } from "../kit/format";
import { Badge, Empty, Head, Load, Meter, Panel } from "../kit/layout";
import { Table } from "../kit/table";
import { t, type Key } from "../lang";
import { Adjustable, Balances, amount } from "./limits/balance";
import { LimitForm } from "./limits/form";

type KeyBalance = components["schemas"]["KeyBalance"];
type Limit = components["schemas"]["Limit"] & { nearest?: KeyBalance | null };

export const per = (name: string): string => t(`per.${name}` as Key);

function Quotas({ of }: { of: Limit["quotas"] }) {
  return <span class="tags">{of.map((quota) => <span key={quota.measure + quota.per} class="tag">{amount(quota.max, quota.measure)} {t(`measure.${quota.measure}`)} / {per(quota.per)}</span>)}</span>;
}

function List() {
  const limits = useResource<Page<Limit>>("limits?limit=200", { every: 30_000 });
  const config = useResource<Document>("config");
  const [isAdding, setAdding] = useState(false);
  return (
    <>
      <Head title={t("nav.limits")} about={t("limits.about")}>
        <Button kind="primary" icon="plus" need="owner" disabled={!config.data} onClick={() => setAdding(true)}>{t("limits.add")}</Button>
      </Head>
      <Panel flush>
        <Load of={limits}>
          {(page) => page.data.length === 0 ? <Empty title={t("limits.none")}><p>{t("limits.none_why")} <a href={href("configuration")}>{t("nav.config")}</a></p></Empty> : (
            <Table
              caption={t("nav.limits")}
              rows={page.data}
              id={(limit) => limit.id}
              to={(limit) => `limits/${encodeURIComponent(limit.id)}`}
              order={{ column: 4, isDown: true }}
              columns={[
                { head: t("limits.limit"), cell: (limit) => <a href={href(`limits/${encodeURIComponent(limit.id)}`)}><strong>{limit.id}</strong></a>, sort: (limit) => limit.id },
                { head: t("limits.by"), cell: (limit) => limit.by },
                { head: t("limits.where"), cell: (limit) => [...(limit.routes ?? []), ...(limit.groups ?? []).map((group) => `${t("consumers.group")} ${group}`)].join(", ") || t("limits.everywhere") },
                { head: t("limits.quotas"), cell: (limit) => <Quotas of={limit.quotas} /> },
                { head: t("limits.nearest"), cell: (limit) => limit.nearest ? <Meter share={limit.nearest.used_share} label={`${limit.nearest.key} · ${percent(limit.nearest.used_share, 0)}`} /> : <span class="muted">–</span>, sort: (limit) => limit.nearest?.used_share ?? -1 },
                { head: t("limits.on_error"), cell: (limit) => <Badge title={t(`limits.${limit.on_error}_about`)}>{t(`limits.${limit.on_error}`)}</Badge> },
              ]}
            />
          )}
        </Load>
      </Panel>
      {isAdding && config.data && <LimitForm document={config.data} etag={config.etag} onClose={() => setAdding(false)} />}
    </>
  );
}

function Detail({ id }: { id: string }) {
  const balances = useResource<Page<KeyBalance>>(`limits/${escapePath(id)}?limit=32`, { every: 15_000 });
  const config = useResource<Document>("config");
  const [isEditing, setEditing] = useState(false);
  const limit = (config.data?.limits ?? []).find((one: LimitDocument) => one.id === id);
  const quotas = limit ? (["tokens", "requests", "cost"] as const).flatMap((measure) => [limit[measure] ?? []].flat().map((quota: Quota) => ({ measure, ...quota }))) : [];
  return (
    <>
      <Head title={id} crumb={{ to: "limits", label: t("nav.limits") }} about={limit && <>{t("limits.kept_by", { by: limit.by })} {quotas.map((quota) => <span key={quota.measure + quota.per} class="tag">{amount(quota.max, quota.measure)} {t(`measure.${quota.measure}`)} / {per(quota.per)}</span>)}</>}>
        {limit && <Button need="owner" onClick={() => setEditing(true)}>{t("action.edit")}</Button>}
      </Head>
      {limit?.by === "all" && <Panel title={t("limits.balance")}><Balances limit={id} value="_" /></Panel>}
      <Panel title={t("limits.balances")} about={t("limits.balances_about")} flush>
        <Load of={balances}>
          {(page) => page.data.length === 0 ? <Empty title={t("limits.no_balances")}><p>{t("limits.no_balances_why")}</p></Empty> : (
            <Table
              caption={t("limits.balances")}
              rows={page.data}
              id={(row) => row.key}
              columns={[
                { head: t("limits.value"), cell: (row) => (limit?.by === "consumer" ? <a href={href(`consumers/${encodeURIComponent(row.key)}`)}>{row.key}</a> : row.key) },
                { head: t("limits.used"), cell: (row) => <Meter share={row.used_share} label={percent(row.used_share, 0)} /> },
                { head: t("limits.quotas"), cell: (row) => <Adjustable limit={id} value={row.key} quotas={row.quotas} /> },
              ]}
            />
          )}
        </Load>
      </Panel>
      {isEditing && limit && config.data && <LimitForm document={config.data} etag={config.etag} limit={limit} onClose={() => setEditing(false)} />}
    </>
  );
}

export function View() {
  const id = segments()[1];
  return id ? <Detail key={id} id={id} /> : <List />;
}
