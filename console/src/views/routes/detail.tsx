// One route: traffic, fallback, what applies to it, its requests.

import { useState } from "preact/hooks";

import "./routes.css";

import { go, href, param } from "../../app/router";
import { withQuery } from "../../data/client";
import { targetName, type Document, type Route } from "../../data/document";
import { useResource } from "../../data/resource";
import type { RequestPage } from "../../data/shapes";
import { period } from "../../data/usage";
import { Button } from "../../kit/controls";
import { Badge, Empty, Head, Load, Panel, Tabs } from "../../kit/layout";
import { Publish } from "../../kit/publish";
import { RangePicker } from "../../kit/range";
import { TargetName, requestColumns, requestPath } from "../../kit/facts";
import { Table } from "../../kit/table";
import { t } from "../../lang";
import { Canary } from "./canary";
import { RouteForm } from "./form";

function Fallback({ route }: { route: Route }) {
  const steps = [{ name: t("routes.one_of", { n: route.targets.length }), targets: route.targets }, ...(route.fallback ?? []).map((target) => ({ name: t("routes.then"), targets: [target] }))];
  const known = { timeouts: route.timeouts, retries: route.retries, health: route.health, hedge: route.hedge, balance: route.balance, sticky: route.sticky, continue: route.continue };
  const settings = Object.entries(known).filter(([, value]) => value !== undefined && value !== null);
  return (
    <div class="grid">
      <Panel title={t("routes.order")} about={t("routes.order_about")}>
        <ol class="steps">
          {steps.map((step, index) => (
            <li key={index}><div><span class="muted small">{step.name}</span>{step.targets.map((target, at) => <TargetName key={at} name={targetName(target, route)} />)}</div></li>
          ))}
        </ol>
      </Panel>
      <Panel title={t("routes.conditions")} about={t("routes.conditions_about")}>
        <div class="stack">
          <div class="tags">{(route.fallback_on ?? ["connect", "timeout", "429", "5xx"]).map((on) => <Badge key={on}>{on}</Badge>)}{route.fallback_on === undefined && <span class="muted small">{t("routes.default")}</span>}</div>
          <dl class="pairs">
            {settings.map(([name, value]) => [<dt key={`${name}k`}>{name}</dt>, <dd key={name}><code>{typeof value === "object" ? JSON.stringify(value) : String(value)}</code></dd>])}
          </dl>
        </div>
      </Panel>
    </div>
  );
}

function Applied({ route, document }: { route: Route; document: Document }) {
  const limits = (document.limits ?? []).filter((limit) => !limit.on?.routes || limit.on.routes.includes(route.id));
  const guards = (document.guards ?? []).filter((guard) => !guard.routes || guard.routes.includes(route.id));
  return (
    <div class="grid">
      <Panel title={t("nav.limits")} flush>
        {limits.length === 0 ? <Empty title={t("routes.no_limits")} /> : (
          <Table caption={t("nav.limits")} rows={limits} id={(limit) => limit.id} to={(limit) => `limits/${encodeURIComponent(limit.id)}`} columns={[
            { head: t("limits.limit"), cell: (limit) => <a href={href(`limits/${encodeURIComponent(limit.id)}`)}>{limit.id}</a> },
            { head: t("limits.by"), cell: (limit) => limit.by },
            { head: t("limits.where"), cell: (limit) => (limit.on?.routes ? t("limits.this_route") : t("limits.everywhere")) },
          ]} />
        )}
      </Panel>
      <Panel title={t("nav.guards")} flush>
        {guards.length === 0 ? <Empty title={t("routes.no_guards")} /> : (
          <Table caption={t("nav.guards")} rows={guards} id={(guard) => guard.id} columns={[
            { head: t("guards.guard"), cell: (guard) => <a href={href("guards")}>{guard.id}</a> },
            { head: t("guards.kind"), cell: (guard) => guard.kind },
            { head: t("guards.check"), cell: (guard) => (guard.check ?? []).join(", ") },
          ]} />
        )}
      </Panel>
    </div>
  );
}

function Requests({ route }: { route: Route }) {
  const requests = useResource<RequestPage>(withQuery("requests", { route: route.id, limit: 50 }), { every: 10_000 });
  return (
    <Panel title={t("nav.requests")} about={<a href={href(`requests?route=${encodeURIComponent(route.id)}`)}>{t("requests.all_of_route")}</a>} flush dense>
      <Load of={requests}>
        {(page) => page.data.length === 0 ? <Empty title={t("requests.none")} /> : <Table caption={t("nav.requests")} rows={page.data} id={(row) => row.id} columns={requestColumns()} to={requestPath} />}
      </Load>
    </Panel>
  );
}

export function RouteDetail({ route, document, etag }: { route: Route; document: Document; etag: string | null }) {
  const tab = param("tab", "traffic");
  const [open, setOpen] = useState<"edit" | "remove" | null>(null);
  return (
    <>
      <Head title={route.id} crumb={{ to: "routes", label: t("nav.routes") }} about={<span class="tags">{route.models.map((model) => <span key={model} class="tag">{model}</span>)}</span>}>
        {tab === "traffic" && <RangePicker value={period("1h").range} />}
        <Button need="owner" onClick={() => setOpen("edit")}>{t("action.edit")}</Button>
        <Button need="owner" kind="danger" icon="trash" label={t("routes.remove")} onClick={() => setOpen("remove")} />
      </Head>
      <Tabs tabs={[{ id: "traffic", label: t("routes.tab_traffic") }, { id: "fallback", label: t("routes.tab_fallback") }, { id: "applied", label: t("routes.tab_applied") }, { id: "requests", label: t("nav.requests") }]} />
      {tab === "traffic" && <Canary route={route} etag={etag} />}
      {tab === "fallback" && <Fallback route={route} />}
      {tab === "applied" && <Applied route={route} document={document} />}
      {tab === "requests" && <Requests route={route} />}
      {open === "edit" && <RouteForm document={document} etag={etag} route={route} onClose={() => setOpen(null)} onDone={(id) => id !== route.id && go(`routes/${encodeURIComponent(id)}`)} />}
      {open === "remove" && (
        <Publish title={t("routes.remove_title", { id: route.id })} basis={etag} note={`remove route ${route.id}`} edit={(before) => ({ ...before, routes: (before.routes ?? []).filter((one) => one.id !== route.id) })} onClose={() => setOpen(null)} onDone={() => go("routes")} />
      )}
    </>
  );
}
