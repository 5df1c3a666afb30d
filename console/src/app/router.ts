// Location as signals. Every screen has a URL; its filters are in the query.

import { signal } from "@preact/signals";

export const BASE = "/console/";

export const path = signal("");
export const query = signal(new URLSearchParams());
/** Asked before the location changes; a text keeps the operator on the page. */
export const guard: { question: (() => string | null) | null } = { question: null };

function read(): void {
  const at = window.location;
  path.value = at.pathname.startsWith(BASE) ? at.pathname.slice(BASE.length).replace(/\/+$/, "") : "";
  query.value = new URLSearchParams(at.search);
}

export function href(to: string): string {
  return BASE + to;
}

export function go(to: string, replace = false): void {
  const question = guard.question?.();
  if (question && !window.confirm(question)) return;
  guard.question = null;
  window.history[replace ? "replaceState" : "pushState"](null, "", href(to));
  read();
  if (!replace) window.scrollTo(0, 0);
}

/** Changes parameters of the query; `null` removes one. */
export function setQuery(changes: Record<string, string | string[] | null>, push = false): void {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const one of value === null ? [] : [value].flat()) if (one !== "") next.append(name, one);
  }
  const text = next.toString();
  window.history[push ? "pushState" : "replaceState"](null, "", href(path.value) + (text ? `?${text}` : ""));
  read();
}

export function param(name: string, fallback = ""): string {
  return query.value.get(name) ?? fallback;
}

/** Parts of the path below a screen's name, decoded. */
export function segments(): string[] {
  return path.value.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

export function startRouter(): void {
  read();
  window.addEventListener("popstate", read);
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest?.("a");
    if (!link || link.target || link.hasAttribute("download") || link.origin !== window.location.origin) return;
    if (!link.pathname.startsWith(BASE) || link.pathname.startsWith(`${BASE}assets/`)) return;
    event.preventDefault();
    go(link.pathname.slice(BASE.length) + link.search);
  });
}
