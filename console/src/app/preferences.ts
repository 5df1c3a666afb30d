// Choices of this browser: theme, time zone. They are the only things that the console stores.

import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const stored = <T extends string>(name: string, allowed: readonly T[], fallback: T): T => {
  const value = localStorage.getItem(`serin.${name}`) as T | null;
  return value !== null && allowed.includes(value) ? value : fallback;
};

export const theme = signal<Theme>(stored("theme", ["system", "light", "dark"], "system"));
export const zone = signal<string>(localStorage.getItem("serin.zone") ?? "");

const darkQuery = window.matchMedia("(prefers-color-scheme: dark)");
export const isDark = signal(darkQuery.matches);

export function remember(name: "theme" | "zone" | "language", value: string): void {
  if (value === "") localStorage.removeItem(`serin.${name}`);
  else localStorage.setItem(`serin.${name}`, value);
}

export function applyTheme(next: Theme): void {
  theme.value = next;
  const root = document.documentElement;
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  isDark.value = next === "dark" || (next === "system" && darkQuery.matches);
}

darkQuery.addEventListener("change", () => applyTheme(theme.value));
