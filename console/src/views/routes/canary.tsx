// Canary: the targets of a route side by side, and the slider that moves traffic between them.

import { useEffect, useMemo, useState } from "preact/hooks";

import { href } from "../../app/router";
import { withQuery } from "../../data/client";
import { shares, targetName, type Route, type Version } from "../../data/document";
import { useResource, type Page } from "../../data/resource";
import type { Health, RestingTarget, TargetRow } from "../../data/shapes";
import { period, pollEvery } from "../../data/usage";
import { Button } from "../../kit/controls";
import { ago, count, money, ms, percent } from "../../kit/format";
import { Badge, Load, Notice, Panel, Swatch, colorOf } from "../../kit/layout";
import { Publish, type Edit } from "../../kit/publish";
import { t } from "../../lang";

const PRESETS = [1, 5, 10, 25, 50, 100];

/** Wilson interval of a share at 95 %: it is honest about few calls. */
export function wilson(good: number, all: number): [number, number] | null {
  if (all === 0) return null;
  const z = 1.96;
  const share = good / all;
  const middle = (share + (z * z) / (2 * all)) / (1 + (z * z) / all);
  const half = (z / (1 + (z * z) / all)) * Math.sqrt((share * (1 - share)) / all + (z * z) / (4 * all * all));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** Whole per cents that sum to 100, nearest to the shares. */
export function wholePercents(parts: number[]): number[] {
  const exact = parts.map((part) => part * 100);
  const whole = exact.map(Math.floor);
  const order = exact.map((value, index) => ({ index, rest: value - Math.floor(value) })).sort((left, right) => right.rest - left.rest);
  let missing = 100 - whole.reduce((sum, value) => sum + value, 0);
  for (const { index } of order) {
    if (missing <= 0) break;
    whole[index] = (whole[index] ?? 0) + 1;
    missing -= 1;
  }
  return whole;
}

/** Gives one target a percentage; the others keep their proportions to each other. */
export function moveTo(percents: number[], index: number, value: number): number[] {
  const bounded = Math.max(0, Math.min(100, Math.round(value)));
  const others = percents.reduce((sum, one, at) => sum + (at === index ? 0 : one), 0);
  const rest = 100 - bounded;
  const parts = percents.map((one, at) => {
    if (at === index) return bounded / 100;
    return others > 0 ? ((one / others) * rest) / 100 : rest / 100 / Math.max(1, percents.length - 1);
  });
  return wholePercents(parts);
}

export function weightEdit(routeId: string, percents: number[]): Edit {
  return (document) => ({
    ...document,
    routes: (document.routes ?? []).map((route) =>
      route.id === routeId ? { ...route, targets: route.targets.map((target, index) => ({ ...target, weight: percents[index] ?? target.weight })) } : route,
    ),
  });
}

interface Side {
  name: string;
  provider: string;
  wished: number;
  row: TargetRow | undefined;
  resting: RestingTarget | undefined;
}

function Reasons({ of }: { of: Record<string, number> }) {
  const bad = Object.entries(of).filter(([result, n]) => n > 0 && result !== "answered").sort((left, right) => right[1] - left[1]);
  if (bad.length === 0) return <span class="muted">{t("canary.no_error")}</span>;
  return <span class="tags">{bad.map(([result, n]) => <Badge key={result} kind="bad">{result} × {count(n)}</Badge>)}</span>;
}

function Compare({ sides }: { sides: Side[] }) {
  const calls = sides.reduce((sum, side) => sum + (side.row?.calls ?? 0), 0);
  const best = (values: (number | null | undefined)[], isHighest: boolean): number => {
    const known = values.filter((value): value is number => value !== null && value !== undefined);
    if (known.length < 2 || new Set(known).size === 1) return -1;
    return values.indexOf(isHighest ? Math.max(...known) : Math.min(...known));
  };
  const perAnswer = (side: Side, of: "cost_usd" | "output_tokens"): number | null => (side.row && side.row.answered > 0 ? side.row[of] / side.row.answered : null);
  const perThousand = sides.map((side) => { const cost = perAnswer(side, "cost_usd"); return cost === null || cost === 0 ? null : cost * 1000; });
  const outputs = sides.map((side) => perAnswer(side, "output_tokens"));
  const rates = sides.map((side) => (side.row && side.row.calls > 0 ? side.row.answered / side.row.calls : null));
  const lines: { name: string; cells: preact.ComponentChildren[]; best?: number }[] = [
    { name: t("canary.wished"), cells: sides.map((side) => percent(side.wished, 0)) },
    { name: t("canary.real"), cells: sides.map((side) => (calls > 0 ? `${percent((side.row?.calls ?? 0) / calls)}` : "–")) },
    { name: t("canary.calls"), cells: sides.map((side) => count(side.row?.calls ?? 0)) },
    {
      name: t("canary.success"),
      best: best(rates, true),
      cells: sides.map((side, index) => {
        const range = side.row ? wilson(side.row.answered, side.row.calls) : null;
        return range === null ? "–" : <>{percent(rates[index], 2)} <span class="muted small" title={t("canary.interval")}>{percent(range[0])} – {percent(range[1])}</span></>;
      }),
    },
    { name: t("canary.first_token"), best: best(sides.map((side) => side.row?.p50_first_token_ms), false), cells: sides.map((side) => ms(side.row?.p50_first_token_ms)) },
    { name: t("canary.first_token_p95"), best: best(sides.map((side) => side.row?.p95_first_token_ms), false), cells: sides.map((side) => ms(side.row?.p95_first_token_ms)) },
    { name: t("canary.total_p50"), best: best(sides.map((side) => side.row?.p50_total_ms), false), cells: sides.map((side) => ms(side.row?.p50_total_ms)) },
    { name: t("canary.output"), cells: outputs.map((value) => (value === null ? "–" : count(Math.round(value)))) },
    { name: t("canary.cost"), best: best(perThousand, false), cells: perThousand.map((value) => (value === null ? "–" : money(value))) },
    { name: t("canary.errors"), cells: sides.map((side) => <Reasons key={side.name} of={side.row?.by_result ?? {}} />) },
    { name: t("canary.health"), cells: sides.map((side) => (side.resting ? <Badge kind="warn" icon="pause">{t("health.cooling_short", { until: ago(side.resting.until) })}</Badge> : <Badge kind="good" icon="check">{t("health.well")}</Badge>)) },
  ];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={t("canary.compare")}>
      <table class="compare">
        <caption class="hidden">{t("canary.compare")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("canary.measure")}</th>
            {sides.map((side) => <th key={side.name} scope="col"><span class="row"><Swatch color={colorOf(side.provider)} />{side.name}</span></th>)}
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line.name}>
              <th scope="row">{line.name}</th>
              {line.cells.map((cell, index) => <td key={index}>{cell}{line.best === index && <> <span class="good-text" title={t("canary.better")}>▲<span class="hidden">{t("canary.better")}</span></span></>}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Progress until every isolate serves a new version: 57 s at most. */
function Spread({ since, version }: { since: number; version: number }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.floor((now - since) / 1000);
  if (seconds > 75) return null;
  const isDone = seconds >= 57;
  return (
    <Notice kind={isDone ? "good" : "info"}>
      <span>{isDone ? t("canary.spread_done", { version }) : t("canary.spread", { version, seconds: 57 - seconds })}</span>
      <div class="bar" role="progressbar" aria-label={t("canary.spread_label")} aria-valuemin={0} aria-valuemax={57} aria-valuenow={Math.min(57, seconds)}><span style={{ width: `${Math.min(100, (seconds / 57) * 100)}%`, background: "var(--s1)" }} /></div>
    </Notice>
  );
}

function Sliders({ route, draft, setDraft }: { route: Route; draft: number[]; setDraft: (next: number[]) => void }) {
  const last = route.targets.length - 1;
  return (
    <div class="stack">
      <div class="bar thick" role="img" aria-label={t("canary.shares")}>
        {route.targets.map((target, index) => <span key={index} style={{ width: `${draft[index] ?? 0}%`, background: colorOf(target.provider) }} />)}
      </div>
      {route.targets.map((target, index) => {
        const name = targetName(target, route);
        return (
          <div key={index} class="slider">
            <span class="row"><Swatch color={colorOf(target.provider)} /><strong>{target.provider}</strong><span class="muted">{target.model ?? t("canary.same_model")}</span></span>
            <input type="range" min={0} max={100} step={1} value={draft[index]} style={{ accentColor: colorOf(target.provider) }} aria-label={t("canary.share_of", { target: name })} aria-valuetext={`${draft[index]} %`} onInput={(event) => setDraft(moveTo(draft, index, Number(event.currentTarget.value)))} />
            <span class="row nowrap"><input type="number" min={0} max={100} value={draft[index]} aria-label={t("canary.percent_of", { target: name })} onChange={(event) => setDraft(moveTo(draft, index, Number(event.currentTarget.value)))} /> %</span>
          </div>
        );
      })}
      <div class="row">
        <span class="muted small">{t("canary.presets", { target: route.targets[last]?.provider ?? "" })}</span>
        {PRESETS.map((value) => <Button key={value} small pressed={draft[last] === value} onClick={() => setDraft(moveTo(draft, last, value))}>{value} %</Button>)}
      </div>
    </div>
  );
}

export function Canary({ route, etag }: { route: Route; etag: string | null }) {
  const at = period("1h");
  const inForce = useMemo(() => wholePercents(shares(route.targets)), [route]);
  const [draft, setDraft] = useState(inForce);
  const [isPublishing, setPublishing] = useState(false);
  const [published, setPublished] = useState<{ at: number; version: number } | null>(null);
  const isChanged = draft.some((value, index) => value !== inForce[index]);
  useEffect(() => setDraft(inForce), [inForce.join()]);

  const from = new Date(at.from * 1000).toISOString();
  const to = new Date(at.to * 1000).toISOString();
  const every = Math.min(pollEvery(at.range), 10_000);
  const targets = useResource<Page<TargetRow>>(withQuery("targets", { route: route.id, from, to }), { every });
  const health = useResource<Health>("health", { every: 15_000 });
  const history = useResource<Page<Version>>("config/versions?limit=2");
  const previous = history.data?.data[1];

  const parts = shares(route.targets);
  const rowOf = (name: string, provider: string, model?: string): TargetRow | undefined => {
    const rows = (targets.data?.data ?? []).filter((row) => row.route === undefined || row.route === route.id);
    return rows.find((row) => row.target === name) ?? rows.find((row) => row.provider === provider && (model === undefined || row.model === model));
  };
  const sides = [...route.targets.map((target, index) => ({ target, wished: parts[index] ?? 0 })), ...(route.fallback ?? []).map((target) => ({ target, wished: 0 }))].map(({ target, wished }): Side => {
    const name = targetName(target, route);
    return {
      name,
      provider: target.provider,
      wished,
      row: rowOf(name, target.provider, target.model),
      resting: (health.data?.targets ?? []).find((row) => row.target === name || (row.provider === target.provider && row.model === target.model)),
    };
  });
  const measured = route.targets.length;
  return (
    <>
      {published && <Spread since={published.at} version={published.version} />}
      <div class="grid canary">
        <Panel
          title={t("canary.title")}
          about={t("canary.about")}
          footer={
            <div class="spread">
              <span class="small muted">{route.sticky && route.sticky !== "none" ? t("canary.sticky", { by: route.sticky }) : t("canary.not_sticky")}</span>
              <div class="row">
                <Button disabled={!isChanged} reason={t("canary.unchanged")} onClick={() => setDraft(inForce)}>{t("canary.reset")}</Button>
                <Button kind="primary" need="owner" disabled={!isChanged} reason={t("canary.unchanged")} onClick={() => setPublishing(true)}>{t("canary.apply")}</Button>
              </div>
            </div>
          }
        >
          {measured < 2 ? <p class="muted">{t("canary.single")}</p> : <Sliders route={route} draft={draft} setDraft={setDraft} />}
        </Panel>
        <Panel title={t("canary.compare")} about={t("canary.compare_about")} flush>
          <Load of={targets}>{() => <Compare sides={sides.slice(0, measured)} />}</Load>
          {targets.error?.isUnknownCall && <div class="body"><Compare sides={sides.slice(0, measured)} /></div>}
        </Panel>
      </div>
      {sides.length > measured && (
        <Panel title={t("canary.fallback")} about={t("canary.fallback_about")} flush>
          <Compare sides={sides.slice(measured)} />
        </Panel>
      )}
      {previous && <p class="small muted">{t("canary.back")} <a href={href(`configuration?tab=versions&version=${previous.version}`)}>{t("canary.back_link", { version: previous.version })}</a></p>}
      {isPublishing && (
        <Publish
          title={t("canary.publish", { route: route.id })}
          edit={weightEdit(route.id, draft)}
          basis={etag}
          note={`${route.id}: ${draft.join("/")}`}
          onClose={() => setPublishing(false)}
          onDone={(version) => setPublished({ at: Date.now(), version: version.version })}
        />
      )}
    </>
  );
}
