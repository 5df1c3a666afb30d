// Providers: the services that serve models, with their keys, health, and tests.

import { useState } from "preact/hooks";

import { go, href, segments } from "../app/router";
import { hasVault, may } from "../app/session";
import { withQuery } from "../data/client";
import { targetName, type Document, type Provider, type Route } from "../data/document";
import { useResource, type Page } from "../data/resource";
import type { Health, RestingTarget, SecretEntry, TargetRow, VaultEntry } from "../data/shapes";
import { Button } from "../kit/controls";
import { ago, count, ms, percent } from "../kit/format";
import { TargetName } from "../kit/facts";
import { Badge, Empty, Head, Load, Notice, Panel, Swatch, colorOf } from "../kit/layout";
import { Publish } from "../kit/publish";
import { Table } from "../kit/table";
import { t } from "../lang";
import { AddProvider } from "./providers/add";
import { Test } from "./providers/test";
import { lastHour } from "./routes/period";

interface Facts {
  targets: TargetRow[];
  health: Health | undefined;
  secrets: SecretEntry[];
  vault: VaultEntry[];
}

function useFacts(): Facts {
  const hour = lastHour();
  const range = { from: new Date(hour.from * 1000).toISOString(), to: new Date(hour.to * 1000).toISOString() };
  const targets = useResource<Page<TargetRow>>(withQuery("targets", range), { every: 15_000 });
  const health = useResource<Health>("health", { every: 15_000 });
  const secrets = useResource<Page<SecretEntry>>(may("owner") ? "secrets" : null);
  const vault = useResource<Page<VaultEntry>>(hasVault() && may("editor") ? "vault" : null);
  return { targets: targets.data?.data ?? [], health: health.data, secrets: secrets.data?.data ?? [], vault: vault.data?.data ?? [] };
}

function State({ resting, isKnown }: { resting: RestingTarget[]; isKnown: boolean }) {
  if (!isKnown) return <span class="muted">–</span>;
  if (resting.length === 0) return <Badge kind="good" icon="check">{t("health.well")}</Badge>;
  return <Badge kind="warn" icon="pause" title={resting.map((row) => row.target).join(", ")}>{t("health.cooling_short", { until: ago(resting[0]?.until) })}</Badge>;
}

/** State of a key reference: `secret:NAME` on the host, `vault:NAME` in the vault. */
export function keyState(reference: string, facts: Pick<Facts, "secrets" | "vault">): "set" | "missing" | "unknown" {
  const [place, name = ""] = reference.split(":");
  if (place === "vault") return facts.vault.length === 0 ? "unknown" : facts.vault.some((entry) => entry.name === name) ? "set" : "missing";
  const found = facts.secrets.find((entry) => entry.name === name);
  if (!found) return "unknown";
  return found.set ? "set" : "missing";
}

function Keys({ provider, facts }: { provider: Provider; facts: Facts }) {
  const keys = provider.keys ?? [];
  if (keys.length === 0) return <span class="muted">{t("providers.no_keys")}</span>;
  const missing = keys.filter((key) => keyState(key, facts) === "missing").length;
  return missing > 0 ? <Badge kind="bad" icon="key">{t("providers.keys_missing", { n: missing })}</Badge> : <span>{t("providers.keys", { n: keys.length })}</span>;
}

function List({ document, etag }: { document: Document; etag: string | null }) {
  const [isAdding, setAdding] = useState(false);
  const facts = useFacts();
  const providers = document.providers ?? [];
  const calls = (provider: Provider): number => facts.targets.filter((row) => row.provider === provider.id).reduce((sum, row) => sum + row.calls, 0);
  const good = (provider: Provider): number => facts.targets.filter((row) => row.provider === provider.id).reduce((sum, row) => sum + row.answered, 0);
  return (
    <>
      <Head title={t("nav.providers")} about={t("providers.about")}>
        <Button kind="primary" icon="plus" need="owner" onClick={() => setAdding(true)}>{t("providers.add")}</Button>
      </Head>
      <Panel title={t("providers.all", { n: providers.length })} about={t("routes.last_hour")} flush>
        {providers.length === 0 ? <Empty title={t("providers.none")}><p>{t("providers.none_why")}</p><Button kind="primary" need="owner" onClick={() => setAdding(true)}>{t("providers.add")}</Button></Empty> : (
          <Table
            caption={t("nav.providers")}
            rows={providers}
            id={(provider) => provider.id}
            to={(provider) => `providers/${encodeURIComponent(provider.id)}`}
            columns={[
              { head: t("providers.provider"), cell: (provider) => <a class="row nowrap" href={href(`providers/${encodeURIComponent(provider.id)}`)}><Swatch color={colorOf(provider.id)} /><strong>{provider.id}</strong></a>, sort: (provider) => provider.id },
              { head: t("providers.kind"), cell: (provider) => provider.kind ?? provider.id },
              { head: t("providers.address"), cell: (provider) => provider.base_url ? <span class="mono small">{provider.base_url}</span> : <span class="muted">{t("providers.built_in")}</span> },
              { head: t("providers.key"), cell: (provider) => <Keys provider={provider} facts={facts} /> },
              { head: t("canary.health"), cell: (provider) => <State resting={(facts.health?.targets ?? []).filter((row) => row.provider === provider.id)} isKnown={facts.health !== undefined} /> },
              { head: t("canary.calls"), end: true, cell: (provider) => count(calls(provider)), sort: calls },
              { head: t("overview.success"), end: true, cell: (provider) => percent(calls(provider) > 0 ? good(provider) / calls(provider) : null) },
            ]}
          />
        )}
      </Panel>
      {isAdding && <AddProvider document={document} etag={etag} onClose={() => setAdding(false)} onDone={(id) => go(`providers/${encodeURIComponent(id)}`)} />}
    </>
  );
}

function usesOf(provider: Provider, routes: Route[]): { route: Route; target: string; isFallback: boolean }[] {
  return routes.flatMap((route) => [
    ...route.targets.filter((target) => target.provider === provider.id).map((target) => ({ route, target: targetName(target, route), isFallback: false })),
    ...(route.fallback ?? []).filter((target) => target.provider === provider.id).map((target) => ({ route, target: targetName(target, route), isFallback: true })),
  ]);
}

function Detail({ provider, document, etag }: { provider: Provider; document: Document; etag: string | null }) {
  const facts = useFacts();
  const [isRemoving, setRemoving] = useState(false);
  const uses = usesOf(provider, document.routes ?? []);
  const resting = (facts.health?.targets ?? []).filter((row) => row.provider === provider.id);
  const restingKeys = (facts.health?.keys ?? []).filter((row) => row.provider === provider.id);
  const targets = facts.targets.filter((row) => row.provider === provider.id);
  return (
    <>
      <Head title={provider.id} crumb={{ to: "providers", label: t("nav.providers") }} about={<>{provider.kind ?? provider.id}{provider.base_url && <> · <span class="mono">{provider.base_url}</span></>}</>}>
        <Button need="owner" kind="danger" icon="trash" disabled={uses.length > 0} reason={t("providers.in_use", { n: uses.length })} onClick={() => setRemoving(true)}>{t("action.remove")}</Button>
      </Head>
      {resting.map((row) => (
        <Notice key={row.target} kind="warn"><span><strong>{row.target}</strong> {t("health.cooling", { until: ago(row.until), seen: `${row.resting}/${facts.health?.isolates ?? 1}` })}</span></Notice>
      ))}
      <div class="grid two">
        <Panel title={t("providers.test")} about={t("providers.test_about")}>
          <Test providerId={provider.id} models={[...new Set(uses.map((use) => use.target.split("/").slice(1).join("/")).filter((model) => model !== "*" && model !== ""))]} />
        </Panel>
        <Panel title={t("providers.keys_title")} flush>
          {(provider.keys ?? []).length === 0 ? <Empty title={t("providers.no_keys")} /> : (
            <Table caption={t("providers.keys_title")} rows={(provider.keys ?? []).map((reference, index) => ({ reference, index }))} id={(row) => String(row.index)} columns={[
              { head: "#", cell: (row) => row.index + 1 },
              { head: t("providers.reference"), cell: (row) => <span class="tag">{row.reference}</span> },
              { head: t("providers.state"), cell: (row) => {
                const state = keyState(row.reference, facts);
                const rest = restingKeys.find((one) => one.key === row.index);
                return <span class="row"><Badge kind={state === "set" ? "good" : state === "missing" ? "bad" : undefined}>{t(`providers.key_${state}`)}</Badge>{rest && <Badge kind="warn" icon="pause">{t("health.cooling_short", { until: ago(rest.until) })}</Badge>}</span>;
              } },
              { head: t("providers.hint"), cell: (row) => { const entry = facts.vault.find((one) => `vault:${one.name}` === row.reference); return entry ? <span class="mono">…{entry.hint}</span> : "–"; } },
            ]} />
          )}
        </Panel>
      </div>
      <Panel title={t("providers.targets")} about={t("routes.last_hour")} flush>
        {uses.length === 0 ? <Empty title={t("providers.unused")}><p>{t("providers.unused_why")}</p></Empty> : (
          <Table caption={t("providers.targets")} rows={uses} id={(use) => `${use.route.id} ${use.target} ${use.isFallback}`} to={(use) => `routes/${encodeURIComponent(use.route.id)}`} columns={[
            { head: t("routes.route"), cell: (use) => <a href={href(`routes/${encodeURIComponent(use.route.id)}`)}>{use.route.id}</a> },
            { head: t("requests.target"), cell: (use) => <TargetName name={use.target} /> },
            { head: t("providers.role"), cell: (use) => (use.isFallback ? <Badge>{t("routes.fallback")}</Badge> : <Badge kind="accent">{t("providers.primary")}</Badge>) },
            { head: t("canary.calls"), end: true, cell: (use) => count(targets.find((row) => row.target === use.target && (row.route === undefined || row.route === use.route.id))?.calls ?? 0) },
            { head: t("requests.first_token"), end: true, cell: (use) => ms(targets.find((row) => row.target === use.target)?.p50_first_token_ms) },
          ]} />
        )}
      </Panel>
      {isRemoving && <Publish title={t("providers.remove_title", { id: provider.id })} basis={etag} note={`remove provider ${provider.id}`} edit={(before) => ({ ...before, providers: (before.providers ?? []).filter((one) => one.id !== provider.id) })} onClose={() => setRemoving(false)} onDone={() => go("providers")} />}
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
        const provider = (document.providers ?? []).find((one) => one.id === id);
        if (!provider) return <Empty title={t("providers.missing", { id })}><a href={href("providers")}>{t("nav.providers")}</a></Empty>;
        return <Detail key={id} provider={provider} document={document} etag={config.etag} />;
      }}
    </Load>
  );
}
