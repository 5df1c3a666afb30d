// Routes: the list, the question "which route takes this model?", and one route with its canary.

import { useState } from "preact/hooks";

import { go, href, segments } from "../app/router";
import { ApiError, get, withQuery } from "../data/client";
import { shares, type Document, type Route } from "../data/document";
import { useResource } from "../data/resource";
import type { Match } from "../data/shapes";
import { groupBy, nameIn, readUsage, success, totals, usagePath, percentile, type Usage } from "../data/usage";
import { Button, TextField } from "../kit/controls";
import { count, ms, percent } from "../kit/format";
import { TargetName } from "../kit/facts";
import { Empty, ErrorNotice, Head, Load, Panel, colorOf } from "../kit/layout";
import { Table } from "../kit/table";
import { t } from "../lang";
import { RouteDetail } from "./routes/detail";
import { RouteForm } from "./routes/form";
import { lastHour } from "./routes/period";

export function ShareBar({ route }: { route: Route }) {
  const parts = shares(route.targets);
  return (
    <div class="meter">
      <div class="bar" role="img" aria-label={route.targets.map((target, index) => `${target.provider} ${percent(parts[index], 0)}`).join(", ")}>
        {route.targets.map((target, index) => <span key={index} style={{ width: `${(parts[index] ?? 0) * 100}%`, background: colorOf(target.provider) }} />)}
      </div>
      <span class="small muted">{route.targets.map((target, index) => `${target.provider} ${percent(parts[index], 0)}`).join(" · ")}</span>
    </div>
  );
}

function MatchBox() {
  const [model, setModel] = useState("");
  const [found, setFound] = useState<Match | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  async function ask(event: Event): Promise<void> {
    event.preventDefault();
    if (model.trim() === "") return;
    setError(null);
    try {
      setFound(await get<Match>(withQuery("match", { model: model.trim() })));
    } catch (failure) {
      setFound(null);
      setError(ApiError.of(failure));
    }
  }
  return (
    <Panel title={t("match.title")} about={t("match.about")}>
      <form class="stack" onSubmit={(event) => void ask(event)}>
        <div class="filters">
          <TextField label={t("match.model")} value={model} onInput={setModel} type="search" placeholder="gpt-4o-mini" />
          <Button type="submit">{t("match.ask")}</Button>
        </div>
        <div aria-live="polite">
          {error && <ErrorNotice error={error} />}
          {found && (found.route === null ? <p>{t("match.none")}</p> : (
            <div class="row">
              <span>{t("match.route")}</span> <a class="tag" href={href(`routes/${encodeURIComponent(found.route)}`)}>{found.route}</a>
              {(found.targets ?? []).map((target) => <span key={target.target} class="row"><TargetName name={target.target} /><b>{percent(target.share, 0)}</b></span>)}
              {(found.fallback ?? []).length > 0 && <span class="muted">{t("match.then")} {(found.fallback ?? []).map((target) => target.target).join(" → ")}</span>}
              {(found.limits ?? []).map((limit) => <a key={limit.id} class="tag" href={href(`limits/${encodeURIComponent(limit.id)}`)}>{limit.id}</a>)}
            </div>
          ))}
        </div>
      </form>
    </Panel>
  );
}

function List({ document, etag }: { document: Document; etag: string | null }) {
  const [isAdding, setAdding] = useState(false);
  const usage = useResource<Usage>(usagePath(lastHour(), "total", ["route"]), { every: 30_000, reader: readUsage });
  const groups = groupBy(usage.data?.data ?? [], (row) => nameIn(row, "route"));
  const of = (route: Route) => groups.get(route.id) ?? [];
  const routes = document.routes ?? [];
  return (
    <>
      <Head title={t("nav.routes")} about={t("routes.about")}>
        <Button icon="plus" kind="primary" need="owner" onClick={() => setAdding(true)}>{t("routes.add")}</Button>
      </Head>
      <MatchBox />
      <Panel title={t("routes.all", { n: routes.length })} flush>
        {routes.length === 0 ? <Empty title={t("routes.none")}><p>{t("routes.none_why")}</p></Empty> : (
          <Table
            caption={t("nav.routes")}
            rows={routes}
            id={(route) => route.id}
            to={(route) => `routes/${encodeURIComponent(route.id)}`}
            columns={[
              { head: t("routes.route"), cell: (route) => <a href={href(`routes/${encodeURIComponent(route.id)}`)}><strong>{route.id}</strong></a>, sort: (route) => route.id },
              { head: t("routes.models"), cell: (route) => <span class="tags">{route.models.slice(0, 4).map((model) => <span key={model} class="tag">{model}</span>)}{route.models.length > 4 && <span class="muted">+{route.models.length - 4}</span>}</span> },
              { head: t("routes.targets"), cell: (route) => <ShareBar route={route} /> },
              { head: t("routes.fallback"), cell: (route) => (route.fallback ?? []).map((target) => target.provider).join(" → ") || "–" },
              { head: t("routes.calls"), end: true, cell: (route) => count(totals(of(route)).requests), sort: (route) => totals(of(route)).requests },
              { head: t("overview.success"), end: true, cell: (route) => percent(success(totals(of(route)))) },
              { head: t("routes.p95"), end: true, cell: (route) => ms(percentile(of(route), "first_token", 0.95)) },
            ]}
          />
        )}
      </Panel>
      {isAdding && <RouteForm document={document} etag={etag} onClose={() => setAdding(false)} onDone={(id) => go(`routes/${encodeURIComponent(id)}`)} />}
    </>
  );
}

export function View() {
  const config = useResource<Document>("config", { every: 60_000 });
  const id = segments()[1];
  return (
    <Load of={config}>
      {(document) => {
        if (!id) return <List document={document} etag={config.etag} />;
        const route = (document.routes ?? []).find((one) => one.id === id);
        if (!route) return <Empty title={t("routes.missing", { id })}><a href={href("routes")}>{t("nav.routes")}</a></Empty>;
        return <RouteDetail key={id} route={route} document={document} etag={config.etag} />;
      }}
    </Load>
  );
}

