// Three-way merge of documents: changes between a base and mine, applied to a newer document.

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
export const isEqual = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right);

/** Name of a list's item, as the gateway matches items of two documents. */
function nameOf(item: unknown): string | null {
  if (!isObject(item)) return null;
  const name = item.id ?? item.name ?? item.model;
  return typeof name === "string" ? name : null;
}

function byName(list: unknown): Map<string, unknown> | null {
  if (!Array.isArray(list)) return null;
  const named = new Map<string, unknown>();
  for (const item of list) {
    const name = nameOf(item);
    if (name === null || named.has(name)) return null;
    named.set(name, item);
  }
  return named;
}

/** Value after both changes. Where both changed the same value, mine counts: the operator sees it before. */
export function merge(base: unknown, mine: unknown, theirs: unknown): unknown {
  if (isEqual(base, mine)) return theirs;
  if (isEqual(base, theirs)) return mine;
  if (isObject(mine) && isObject(theirs)) {
    const before = isObject(base) ? base : {};
    const merged: Record<string, unknown> = {};
    for (const key of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
      const value = merge(before[key], mine[key], theirs[key]);
      if (value !== undefined) merged[key] = value;
    }
    return merged;
  }
  const [own, other] = [byName(mine), byName(theirs)];
  if (own && other) {
    const before = byName(base) ?? new Map<string, unknown>();
    const names = [...new Set([...own.keys(), ...other.keys()])];
    return names.map((name) => merge(before.get(name), own.get(name), other.get(name))).filter((item) => item !== undefined);
  }
  return mine;
}
