// Parts that every screen is made of: heading, panels, states, badges, bars.

import type { ComponentChildren } from "preact";
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

import { href, param, query, path } from "../app/router";
import { ApiError } from "../data/client";
import type { Resource } from "../data/resource";
import { t, type Key } from "../lang";
import { Button } from "./controls";
import { ago, percent } from "./format";
import { Icon, type IconName } from "./icons";

export function Head({ title, about, crumb, children }: { title: ComponentChildren; about?: ComponentChildren; crumb?: { to: string; label: string }; children?: ComponentChildren }) {
  useEffect(() => {
    if (typeof title === "string") document.title = `${title} · serin`;
  }, [title]);
  return (
    <div class="head">
      <div class="head-text">
        {crumb && <a class="crumb" href={href(crumb.to)}>← {crumb.label}</a>}
        <h1 tabIndex={-1}>{title}</h1>
        {about && <p>{about}</p>}
      </div>
      {children && <div class="row">{children}</div>}
    </div>
  );
}

export function Panel({ title, about, actions, children, flush, dense, footer }: { title?: ComponentChildren; about?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren; flush?: boolean; dense?: boolean; footer?: ComponentChildren }) {
  return (
    <section class={dense ? "panel dense" : "panel"}>
      {title && (
        <header>
          <div><h2>{title}</h2>{about && <p>{about}</p>}</div>
          {actions && <div class="row">{actions}</div>}
        </header>
      )}
      {flush ? children : <div class="body">{children}</div>}
      {footer && <footer>{footer}</footer>}
    </section>
  );
}

export function Notice({ kind = "info", children, icon }: { kind?: "info" | "warn" | "bad" | "good"; children: ComponentChildren; icon?: IconName }) {
  const name = icon ?? (kind === "good" ? "check" : kind === "info" ? "info" : "warn");
  return <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : undefined}><Icon name={name} /><div>{children}</div></div>;
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return <div class="empty"><strong>{title}</strong>{children}</div>;
}

export function Badge({ kind, icon, children, title }: { kind?: "good" | "warn" | "bad" | "accent"; icon?: IconName; children: ComponentChildren; title?: string }) {
  return <span class={kind ? `badge ${kind}` : "badge"} title={title}>{icon && <Icon name={icon} />}{children}</span>;
}

/** Text of an error for an operator: what failed, and what to do about it. */
export function errorText(error: unknown): string {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  const known: Record<string, Key> = {
    unreachable: "error.unreachable",
    ledger_unavailable: "error.ledger",
    store_unavailable: "error.store",
    role_not_allowed: "error.role",
    invalid_api_key: "error.session",
    key_pepper_missing: "error.pepper",
    vault_key_missing: "error.vault",
    too_many_rows: "error.rows",
  };
  const key = known[error.code];
  if (key) return t(key);
  if (error.isUnknownCall) return t("error.old_gateway");
  return error.message || t("error.status", { status: error.status });
}

export function ErrorNotice({ error, onRetry }: { error: ApiError; onRetry?: () => void }) {
  const isOld = error.isUnknownCall;
  return (
    <Notice kind={isOld ? "info" : "bad"}>
      <span>{errorText(error)}</span>
      <span class="row small">
        {error.requestId && <span class="muted">{t("error.request")} <code>{error.requestId}</code></span>}
        {onRetry && !isOld && <Button small onClick={onRetry}>{t("action.retry")}</Button>}
      </span>
    </Notice>
  );
}

/** Content of a resource with its states: skeleton, error, old data with its age. */
export function Load<T>({ of, children, skeleton }: { of: Resource<T> & { reload?: () => void }; children: (data: T) => ComponentChildren; skeleton?: ComponentChildren }) {
  const [isSlow, setSlow] = useState(false);
  const isFirst = of.data === undefined && !of.error;
  useEffect(() => {
    if (!isFirst) return undefined;
    const timer = setTimeout(() => setSlow(true), 150);
    return () => clearTimeout(timer);
  }, [isFirst]);
  if (of.data === undefined) {
    if (of.error) return <ErrorNotice error={of.error} onRetry={of.reload} />;
    return <div aria-busy="true">{isSlow ? (skeleton ?? <div class="skeleton-block" />) : null}</div>;
  }
  return (
    <>
      {of.error && of.error.status !== 401 && (
        <Notice kind="warn">
          <span>{errorText(of.error)} {t("state.stale", { age: ago(of.at) })}</span>
          {of.reload && <span><Button small onClick={of.reload}>{t("action.retry")}</Button></span>}
        </Notice>
      )}
      {children(of.data)}
    </>
  );
}

export function Tile({ name, value, note, to, unit }: { name: string; value: string; unit?: string; note?: ComponentChildren; to?: string }) {
  const content = (
    <>
      <span class="name">{name}</span>
      <span class="value">{value}{unit && <small> {unit}</small>}</span>
      {note && <span class="note">{note}</span>}
    </>
  );
  return to ? <a class="tile" href={href(to)}>{content}</a> : <div class="tile">{content}</div>;
}

/** Bar of one share; the number stands beside it, since color alone says nothing. */
export function Meter({ share, label, kind }: { share: number; label?: ComponentChildren; kind?: string }) {
  const bounded = Math.max(0, Math.min(1, share));
  const color = kind ?? (share >= 1 ? "var(--bad)" : share >= 0.8 ? "var(--warn)" : "var(--s1)");
  return (
    <div class="meter">
      <div class="bar" role="img" aria-label={percent(share, 0)}><span style={{ width: `${bounded * 100}%`, background: color }} /></div>
      {label && <span class="small muted">{label}</span>}
    </div>
  );
}

export function Tabs({ tabs }: { tabs: { id: string; label: ComponentChildren }[] }) {
  const current = param("tab", tabs[0]?.id);
  const to = (id: string): string => {
    const next = new URLSearchParams(query.value);
    next.set("tab", id);
    return `${href(path.value)}?${next}`;
  };
  return (
    <nav class="tabs" aria-label={t("nav.sections")}>
      {tabs.map((tab) => <a key={tab.id} href={to(tab.id)} aria-current={tab.id === current ? "true" : undefined}>{tab.label}</a>)}
    </nav>
  );
}

export const SERIES = ["var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)", "var(--s6)", "var(--s7)", "var(--s8)"];

const order = signal<string[]>([]);

/** Providers in the order of the configuration, which gives each its color. */
export function setColorOrder(providers: string[]): void {
  if (providers.join() !== order.peek().join()) order.value = providers;
}

/** Color of a provider, the same on every screen. */
export function colorOf(provider: string): string {
  const at = order.value.indexOf(provider);
  const hash = [...provider].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
  return SERIES[(at >= 0 ? at : hash) % SERIES.length]!;
}

export function Swatch({ color }: { color: string }) {
  return <span class="swatch" style={{ background: color }} aria-hidden="true" />;
}

/** Line without axes. */
export function Spark({ values, label }: { values: number[]; label: string }) {
  const width = 96;
  const height = 22;
  const top = Math.max(1, ...values);
  const points = values.map((value, index) => `${((index / Math.max(1, values.length - 1)) * width).toFixed(1)},${(height - 2 - (value / top) * (height - 4)).toFixed(1)}`);
  return (
    <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
      <polyline points={points.join(" ")} fill="none" stroke="var(--s1)" stroke-width="1.5" />
    </svg>
  );
}
