// Counts of requests over the range, above the list.

import { withQuery } from "../../data/client";
import { useResource } from "../../data/resource";
import { count, dayTime } from "../../kit/format";
import { Panel, Swatch } from "../../kit/layout";
import { t, type Key } from "../../lang";

interface Slot {
  start: string;
  requests: number;
  by_outcome: Record<string, number>;
}

const COLORS: Record<string, string> = { answered: "var(--s1)", refused: "var(--s7)", blocked: "var(--s4)", truncated: "var(--s2)", failed: "var(--s5)", hung_up: "var(--s8)" };

export function Histogram({ filters, from, seconds, isLive }: { filters: Record<string, string>; from: string; seconds: number; isLive: boolean }) {
  const step = seconds <= 3600 ? "1m" : seconds <= 86_400 ? "1h" : "24h";
  const histogram = useResource<{ data: Slot[] }>(withQuery("requests/histogram", { ...filters, step, from }), { every: isLive ? 10_000 : undefined });
  const slots = histogram.data?.data;
  if (!slots || slots.length === 0) return null;
  const found = slots.map((slot) => ({ at: Date.parse(slot.start), counts: slot.by_outcome }));
  const sums = slots.map((slot) => slot.requests);
  const most = Math.max(1, ...sums);
  const all: Record<string, number> = {};
  for (const slot of found) for (const [name, value] of Object.entries(slot.counts)) all[name] = (all[name] ?? 0) + value;
  const names = Object.keys(all).filter((name) => (all[name] ?? 0) > 0).sort((a, b) => (all[b] ?? 0) - (all[a] ?? 0));
  const name = (outcome: string): string => (outcome in COLORS ? t(`outcome.${outcome}` as Key) : outcome);
  const sentence = names.map((outcome) => `${name(outcome)} ${count(all[outcome])}`).join(", ");
  return (
    <Panel>
      <div class="histogram" role="img" aria-label={`${t("requests.histogram")}: ${sentence}`}>
        {found.map((slot, index) => (
          <span key={slot.at} title={`${dayTime(slot.at)}: ${count(sums[index])}`}>
            {names.map((outcome) => <i key={outcome} style={{ height: `${((slot.counts[outcome] ?? 0) / most) * 100}%`, background: COLORS[outcome] ?? "var(--s8)" }} />)}
          </span>
        ))}
      </div>
      <div class="row small muted">{names.map((outcome) => <span key={outcome} class="row"><Swatch color={COLORS[outcome] ?? "var(--s8)"} />{name(outcome)} {count(all[outcome])}</span>)}</div>
    </Panel>
  );
}
