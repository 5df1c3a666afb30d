// The configuration as the screens read it: the parts that forms show. Other fields pass through unchanged.

import type { components } from "./api";

export type Change = components["schemas"]["ConfigurationChange"];
export type Version = components["schemas"]["ConfigurationVersion"];

export interface Target {
  provider: string;
  model?: string;
  weight?: number;
  [other: string]: unknown;
}

export interface Route {
  id: string;
  models: string[];
  targets: Target[];
  fallback?: Target[];
  fallback_on?: string[];
  sticky?: string;
  [other: string]: unknown;
}

export interface Provider {
  id: string;
  kind?: string;
  base_url?: string;
  keys?: string[];
  [other: string]: unknown;
}

export interface Named {
  id: string;
  [other: string]: unknown;
}

export interface Quota {
  per: string;
  max: number;
  [other: string]: unknown;
}

export interface Limit extends Named {
  by: string;
  on?: { routes?: string[]; groups?: string[] };
  tokens?: Quota | Quota[];
  requests?: Quota | Quota[];
  cost?: Quota | Quota[];
}

export interface Guard extends Named {
  kind: string;
  check?: string[];
  routes?: string[];
}

export interface Document {
  providers?: Provider[];
  routes?: Route[];
  consumers?: (Named & { group?: string; keys?: string[] })[];
  groups?: Named[];
  limits?: Limit[];
  guards?: Guard[];
  cache?: (Named & { route?: string })[] | Record<string, unknown>;
  prices?: { model: string; input?: number; output?: number; [other: string]: unknown }[];
  admin?: { operators?: { name: string; role: string; token: string }[] };
  [other: string]: unknown;
}

/** Upstream model of a target; without one the caller's model name is sent. */
export function targetName(target: Target, route?: Route): string {
  const exact = route?.models.find((model) => !model.startsWith("~") && !model.endsWith("*"));
  return `${target.provider}/${target.model ?? exact ?? "*"}`;
}

/** Shares of the targets; without any weight all are equal. */
export function shares(targets: Target[]): number[] {
  const weights = targets.map((target) => target.weight ?? 1);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => (sum > 0 ? weight / sum : 0));
}

/** Copy of an object with a field replaced, or removed if its value is undefined or empty. */
export function withField<T extends object>(object: T, field: string, value: unknown): T {
  const copy = { ...object } as Record<string, unknown>;
  const isEmpty = value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
  if (isEmpty) delete copy[field];
  else copy[field] = value;
  return copy as T;
}
