// Messages in the chosen language. A catalogue holds [English, Chinese] pairs; the build splits them, so
// that a browser loads one language.

import { signal } from "@preact/signals";

import type core from "./core.json";
import type views from "./views.json";

export type Language = "en" | "zh";
export type Key = keyof typeof core | keyof typeof views;
export type Values = Record<string, string | number>;

type Catalogue = Record<string, string>;

const LOADERS: Record<Language, { core: () => Promise<{ default: Catalogue }>; views: () => Promise<{ default: Catalogue }> }> = {
  en: { core: () => import("virtual:messages/core/en"), views: () => import("virtual:messages/views/en") },
  zh: { core: () => import("virtual:messages/core/zh"), views: () => import("virtual:messages/views/zh") },
};

export const language = signal<Language>("en");
let strings: Catalogue = {};
let hasViews = false;

/** Language of the browser, unless the operator chose one. */
export function preferredLanguage(): Language {
  const chosen = localStorage.getItem("serin.language");
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export async function useLanguage(next: Language): Promise<void> {
  const loader = LOADERS[next];
  const parts = await Promise.all([loader.core(), hasViews ? loader.views() : null]);
  strings = Object.assign({}, ...parts.map((part) => part?.default ?? {}));
  document.documentElement.lang = next === "zh" ? "zh-CN" : "en";
  language.value = next;
}

/** Loads the messages of the screens, which the sign-in page does not need. */
export async function loadViewMessages(): Promise<void> {
  if (hasViews) return;
  hasViews = true;
  strings = { ...strings, ...(await LOADERS[language.value].views()).default };
}

/** Message with `{name}` replaced. `one|other` forms follow the value `n`. */
export function t(key: Key, values?: Values): string {
  const current = language.value;
  let text = strings[key] ?? key;
  if (values === undefined) return text;
  if (text.includes("|") && typeof values.n === "number") {
    const [one = "", other = one] = text.split("|");
    text = new Intl.PluralRules(current).select(values.n) === "one" ? one : other;
  }
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
