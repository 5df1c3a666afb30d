// One consumer: permissions, keys, balances, use.

import { useState } from "preact/hooks";

import { go, href } from "../../app/router";
import { call, escapePath } from "../../data/client";
import type { components } from "../../data/api";
import type { Document } from "../../data/document";
import { forget, reload, useResource } from "../../data/resource";
import { groupBy, nameIn, readUsage, totals, usagePath, percentile, type Usage } from "../../data/usage";
import { useAttempt } from "../../kit/attempt";
import { Button, Check, CheckList, TextField } from "../../kit/controls";
import { Confirm, Dialog, toast } from "../../kit/dialog";
import { count, moment, money, ms, short } from "../../kit/format";
import { Badge, Empty, ErrorNotice, Head, Load, Panel } from "../../kit/layout";
import { Table } from "../../kit/table";
import { t } from "../../lang";
import { Balances } from "../limits/balance";
import { Keys } from "./keys";

type Consumer = components["schemas"]["Consumer"];

function EditConsumer({ consumer, document, onClose }: { consumer: Consumer; document: Document | undefined; onClose: () => void }) {
  const [group, setGroup] = useState(consumer.group ?? "");
  const [isAll, setAll] = useState(consumer.routes === undefined);
  const [routes, setRoutes] = useState(consumer.routes ?? []);
  const [isDisabled, setDisabled] = useState(consumer.disabled ?? false);
  const { error, busy, attempt } = useAttempt();
  async function save(): Promise<void> {
    await attempt(async () => {
      await call("PATCH", `consumers/${escapePath(consumer.id)}`, { body: { group: group || null, routes: isAll ? null : routes, disabled: isDisabled } });
      forget("consumers?");
      reload(`consumers/${escapePath(consumer.id)}`);
      toast(t("consumers.changed", { id: consumer.id }));
      onClose();
    });
  }
  return (
    <Dialog title={t("consumers.edit", { id: consumer.id })} onClose={onClose} footer={<><Button onClick={onClose}>{t("action.cancel")}</Button><Button kind="primary" need="editor" busy={busy} onClick={() => void save()}>{t("action.save")}</Button></>}>
      {error && error.field !== "group" && <ErrorNotice error={error} />}
      <div class="stack">
        <TextField label={t("consumers.group")} hint={t("consumers.group_hint")} value={group} error={error?.field === "group" ? error.message : undefined} list={(document?.groups ?? []).map((one) => one.id)} onInput={setGroup} />
        <Check label={t("consumers.may_all")} checked={isAll} onChange={setAll} />
        {!isAll && <CheckList label={t("consumers.routes")} choices={[...new Set([...(document?.routes ?? []).map((route) => route.id), ...routes])].map((id) => ({ value: id, label: id }))} value={routes} onChange={setRoutes} />}
        <Check label={t("consumers.disable")} checked={isDisabled} onChange={setDisabled} />
        <p class="hint">{t("consumers.spread")}</p>
      </div>
    </Dialog>
  );
}

function Use({ id }: { id: string }) {
  const to = Math.ceil(Date.now() / 3_600_000) * 3600;
  const usage = useResource<Usage>(usagePath({ from: to - 30 * 86_400, to }, "total", ["model"], { consumer: id }), { reader: readUsage });
  return (
    <Panel title={t("consumers.use")} about={<a href={href(`usage?consumer=${encodeURIComponent(id)}&range=30d`)}>{t("consumers.use_more")}</a>} flush>
      <Load of={usage}>
        {(data) => {
          const groups = [...groupBy(data.data, (row) => nameIn(row, "model"))].map(([model, rows]) => ({ model, rows, sum: totals(rows) }));
          return groups.length === 0 ? <Empty title={t("consumers.no_use")} /> : (
            <Table caption={t("consumers.use")} rows={groups} id={(row) => row.model} order={{ column: 1, isDown: true }} columns={[
              { head: t("dimension.model"), cell: (row) => row.model },
              { head: t("overview.requests"), end: true, cell: (row) => count(row.sum.requests), sort: (row) => row.sum.requests },
              { head: t("overview.tokens"), end: true, cell: (row) => short(row.sum.input_tokens + row.sum.output_tokens) },
              { head: t("overview.cost"), end: true, cell: (row) => money(row.sum.cost_usd) },
              { head: t("requests.first_token"), end: true, cell: (row) => ms(percentile(row.rows, "first_token", 0.5)) },
            ]} />
          );
        }}
      </Load>
    </Panel>
  );
}

function limitsOf(consumer: Consumer, document: Document | undefined): { limit: string; value: string }[] {
  return (document?.limits ?? []).flatMap((limit) => {
    const isCovered = !limit.on?.groups || (consumer.group !== undefined && limit.on.groups.includes(consumer.group));
    if (!isCovered) return [];
    if (limit.by === "consumer") return [{ limit: limit.id, value: consumer.id }];
    if (limit.by === "group" && consumer.group) return [{ limit: limit.id, value: consumer.group }];
    return [];
  });
}

export function ConsumerDetail({ id, document }: { id: string; document: Document | undefined }) {
  const consumer = useResource<Consumer>(`consumers/${escapePath(id)}`);
  const [open, setOpen] = useState<"edit" | "delete" | null>(null);
  return (
    <Load of={consumer}>
      {(data) => {
        const isConfigured = data.source === "configuration";
        const limits = limitsOf(data, document);
        return (
          <>
            <Head title={data.id} crumb={{ to: "consumers", label: t("nav.consumers") }} about={<span class="row">{data.disabled && <Badge kind="bad">{t("consumers.disabled")}</Badge>}{data.group && <span class="tag">{data.group}</span>}{isConfigured ? t("consumers.is_configured") : t("consumers.made", { by: data.created_by ?? "?", at: moment(data.created_at) })}</span>}>
              <a class="button" href={href(`requests?consumer=${encodeURIComponent(id)}`)}>{t("nav.requests")}</a>
              <Button need="editor" disabled={isConfigured} reason={t("consumers.in_document")} onClick={() => setOpen("edit")}>{t("action.edit")}</Button>
              <Button need="editor" kind="danger" icon="trash" label={t("consumers.delete")} disabled={isConfigured} reason={t("consumers.in_document")} onClick={() => setOpen("delete")} />
            </Head>
            <Keys consumer={data.id} />
            <div class="grid two">
              <Panel title={t("consumers.may")}>
                <dl class="pairs">
                  <dt>{t("consumers.routes")}</dt><dd>{data.routes ? <span class="tags">{data.routes.map((route) => <a key={route} class="tag" href={href(`routes/${encodeURIComponent(route)}`)}>{route}</a>)}</span> : t("consumers.all_routes")}</dd>
                  {data.params && <><dt>{t("consumers.params")}</dt><dd><code>{JSON.stringify(data.params)}</code></dd></>}
                  {data.addresses && <><dt>{t("consumers.addresses")}</dt><dd><code>{JSON.stringify(data.addresses)}</code></dd></>}
                </dl>
              </Panel>
              <Panel title={t("consumers.balances")}>
                {limits.length === 0 ? <p class="muted">{t("consumers.no_limits")}</p> : <div class="stack">{limits.map((one) => <Balances key={one.limit} limit={one.limit} value={one.value} isCompact />)}</div>}
              </Panel>
            </div>
            <Use id={data.id} />
            {open === "edit" && <EditConsumer consumer={data} document={document} onClose={() => setOpen(null)} />}
            {open === "delete" && (
              <Confirm
                title={t("consumers.delete_title", { id: data.id })}
                action={t("consumers.delete")}
                typed={data.id}
                onClose={() => setOpen(null)}
                onConfirm={async () => {
                  await call("DELETE", `consumers/${escapePath(data.id)}`);
                  forget("consumers");
                  toast(t("consumers.deleted", { id: data.id }));
                  go("consumers");
                }}
              >
                <p>{t("consumers.delete_about")}</p>
              </Confirm>
            )}
          </>
        );
      }}
    </Load>
  );
}
