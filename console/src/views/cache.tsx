// Cache: hit rate of each route, and deletion of stored answers.

import { useState } from "preact/hooks";

import { href } from "../app/router";
import { call, withQuery } from "../data/client";
import type { Document } from "../data/document";
import { useResource } from "../data/resource";
import { groupBy, nameIn, period, readUsage, totals, usagePath, type Usage } from "../data/usage";
import { Button } from "../kit/controls";
import { Confirm, toast } from "../kit/dialog";
import { count, percent } from "../kit/format";
import { Empty, Head, Load, Meter, Notice, Panel } from "../kit/layout";
import { RangePicker } from "../kit/range";
import { Table } from "../kit/table";
import { t } from "../lang";
import { CacheForm } from "./cache/form";

/** Deletes page by page: one call deletes at most 32 entries. */
async function purge(scope: Record<string, string | boolean>, onProgress: (deleted: number) => void): Promise<number> {
  let deleted = 0;
  let cursor: string | null = null;
  do {
    const { data }: { data: { deleted: number; more: boolean; cursor: string | null } } = await call("DELETE", withQuery("cache", { ...scope, cursor }));
    deleted += data.deleted;
    cursor = data.more ? data.cursor : null;
    onProgress(deleted);
  } while (cursor !== null);
  return deleted;
}

export function View() {
  const at = period("24h");
  const usage = useResource<Usage>(usagePath(at, "total", ["route"]), { every: 60_000, reader: readUsage });
  const config = useResource<Document>("config");
  const [scope, setScope] = useState<{ label: string; scope: Record<string, string | boolean>; typed?: string } | null>(null);
  const [progress, setProgress] = useState(0);
  const [isEditing, setEditing] = useState(false);
  const document = config.data;
  const isConfigured = document?.cache !== undefined && (!Array.isArray(document.cache) || document.cache.length > 0);
  return (
    <>
      <Head title={t("nav.cache")} about={t("cache.about")}>
        <RangePicker value={at.range} />
        <Button need="owner" disabled={!document || Array.isArray(document.cache)} onClick={() => setEditing(true)}>{isConfigured ? t("cache.edit") : t("cache.add")}</Button>
        <Button kind="danger" icon="trash" need="editor" onClick={() => setScope({ label: t("cache.all"), scope: { all: true }, typed: "purge" })}>{t("cache.purge_all")}</Button>
      </Head>
      {document && !isConfigured && <Notice kind="info"><span>{t("cache.off")} <a href={href("configuration")}>{t("nav.config")}</a></span></Notice>}
      <Panel title={t("cache.by_route")} flush>
        <Load of={usage}>
          {(data) => {
            const used = groupBy(data.data, (row) => nameIn(row, "route"));
            const rows = (document?.routes ?? []).map((route) => ({ route: route.id, sum: totals(used.get(route.id) ?? []) }));
            return rows.length === 0 ? <Empty title={t("routes.none")} /> : (
              <Table caption={t("cache.by_route")} rows={rows} id={(row) => row.route} columns={[
                { head: t("routes.route"), cell: (row) => <a href={href(`routes/${encodeURIComponent(row.route)}`)}>{row.route}</a> },
                { head: t("overview.requests"), end: true, cell: (row) => count(row.sum.requests), sort: (row) => row.sum.requests },
                { head: t("overview.cache_hits"), end: true, cell: (row) => count(row.sum.cache_hits), sort: (row) => row.sum.cache_hits },
                { head: t("cache.rate"), cell: (row) => { const share = row.sum.requests > 0 ? row.sum.cache_hits / row.sum.requests : 0; return <Meter share={share} kind="var(--s3)" label={percent(share)} />; }, sort: (row) => (row.sum.requests > 0 ? row.sum.cache_hits / row.sum.requests : 0) },
                { head: "", end: true, cell: (row) => <Button small kind="danger" need="editor" onClick={() => setScope({ label: row.route, scope: { route: row.route } })}>{t("cache.purge")}</Button> },
              ]} />
            );
          }}
        </Load>
      </Panel>
      {isEditing && document && <CacheForm document={document} etag={config.etag} onClose={() => setEditing(false)} />}
      {scope && (
        <Confirm
          title={t("cache.purge_title", { what: scope.label })}
          action={t("cache.purge")}
          typed={scope.typed}
          onClose={() => setScope(null)}
          onConfirm={async () => {
            const deleted = await purge(scope.scope, setProgress);
            toast(t("cache.purged", { n: deleted }));
            setScope(null);
          }}
        >
          <p>{t("cache.purge_about")}</p>
          {progress > 0 && <p class="muted" aria-live="polite">{t("cache.purged", { n: progress })}</p>}
        </Confirm>
      )}
    </>
  );
}
