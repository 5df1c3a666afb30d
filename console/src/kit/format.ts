// Numbers, times and durations in the chosen language and time zone.

import { zone } from "../app/preferences";
import { language, t } from "../lang";

const locale = (): string => (language.value === "zh" ? "zh-CN" : "en-GB");
const formatters = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

function cached<T extends Intl.NumberFormat | Intl.DateTimeFormat>(key: string, make: () => T): T {
  const found = formatters.get(key) as T | undefined;
  if (found) return found;
  const made = make();
  formatters.set(key, made);
  return made;
}

export const NONE = "–";

export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  return cached(`n${locale()}`, () => new Intl.NumberFormat(locale(), { maximumFractionDigits: 1 })).format(value);
}

/** Short form with k and M in every language: operators compare token counts across tools. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  const steps: [number, string][] = [[1e9, "G"], [1e6, "M"], [1e4, "k"]];
  for (const [bound, unit] of steps) {
    const scale = unit === "k" ? 1e3 : bound;
    if (size >= bound) return `${(value / scale).toFixed(size / scale >= 100 ? 0 : 1)}${unit}`;
  }
  return count(value);
}

export function money(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  const digits = value === 0 || size >= 1 ? 2 : size >= 0.01 ? 3 : 5;
  return cached(`c${locale()}${digits}`, () => new Intl.NumberFormat(locale(), { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", minimumFractionDigits: digits, maximumFractionDigits: digits })).format(value);
}

export function percent(share: number | null | undefined, digits = 1): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return NONE;
  return cached(`p${locale()}${digits}`, () => new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: digits })).format(share);
}

export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value < 1000) return `${Math.round(value)} ms`;
  return value < 60_000 ? `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s` : `${Math.floor(value / 60_000)} min ${Math.round((value % 60_000) / 1000)} s`;
}

function date(value: string | number | Date, options: Intl.DateTimeFormatOptions): string {
  const timeZone = zone.value || undefined;
  const format = cached(`d${locale()}${timeZone}${JSON.stringify(options)}`, () => new Intl.DateTimeFormat(locale(), { hourCycle: "h23", ...options, timeZone }));
  return format.format(new Date(value));
}

export const moment = (value: string | number | null | undefined): string =>
  value === null || value === undefined ? NONE : date(value, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

export const clock = (value: string | number): string => date(value, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const hourMinute = (value: number): string => date(value, { hour: "2-digit", minute: "2-digit" });
export const dayMonth = (value: number): string => date(value, { month: "short", day: "numeric" });
export const dayTime = (value: number | string): string => date(value, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

/** Age or distance of a time, such as "3 min ago". */
export function ago(value: string | number | null | undefined, now = Date.now()): string {
  if (value === null || value === undefined) return NONE;
  const seconds = Math.round((new Date(value).getTime() - now) / 1000);
  if (Math.abs(seconds) < 5) return t("time.now");
  const units: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(locale(), { numeric: "always", style: "short" }).format(Math.trunc(seconds / size), unit);
}

/** Duration such as "2 d 3 h" from seconds. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return t("time.never");
  const parts: [number, string][] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  const [size, unit] = parts[at]!;
  const next = parts[at + 1];
  const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${next && rest > 0 ? ` ${rest} ${next[1]}` : ""}`;
}
