// Places in a JSON text, and the JSON Schema that applies to them.

import type { SyntaxNode, Tree } from "@lezer/common";

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}

export interface Description {
  properties: Record<string, { type?: string; description?: string }>;
  values: unknown[];
}

function variants(root: Schema, schema: Schema | undefined, depth = 0): Schema[] {
  if (schema === undefined || depth > 8) return [];
  const name = schema.$ref?.split("/").at(-1);
  const referred = name === undefined ? [] : variants(root, root.$defs?.[name], depth + 1);
  const parts = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])].flatMap((one) => variants(root, one, depth + 1));
  return [schema, ...referred, ...parts];
}

function typeName(root: Schema, schema: Schema): string | undefined {
  const types = variants(root, schema).flatMap((one) => one.type ?? []).flat().filter((type) => type !== "null");
  return [...new Set(types)].join(" | ") || undefined;
}

/** Fields and values that the schema allows at a path; numbers stand for items. */
export function describe(root: Schema, path: (string | number)[]): Description {
  let current = variants(root, root);
  for (const part of path) {
    const next = current.flatMap((schema): Schema[] => {
      if (typeof part === "number") return schema.items ? [schema.items] : [];
      const own = schema.properties?.[part];
      if (own) return [own];
      return typeof schema.additionalProperties === "object" ? [schema.additionalProperties] : [];
    });
    current = next.flatMap((schema) => variants(root, schema));
  }
  const properties: Description["properties"] = {};
  for (const schema of current) {
    for (const [name, about] of Object.entries(schema.properties ?? {})) properties[name] = { type: typeName(root, about), description: about.description };
  }
  const isBoolean = current.some((schema) => [schema.type].flat().includes("boolean"));
  return { properties, values: [...current.flatMap((schema) => schema.enum ?? []).filter((value) => value !== null), ...(isBoolean ? [true, false] : [])] };
}

const content = (text: string, node: SyntaxNode): string => {
  const raw = text.slice(node.from, node.to);
  try {
    return String(JSON.parse(raw));
  } catch {
    return raw.replaceAll('"', "");
  }
};

const VALUES = new Set(["Object", "Array", "String", "Number", "True", "False", "Null"]);

function children(node: SyntaxNode): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  for (let child = node.firstChild; child; child = child.nextSibling) if (VALUES.has(child.name) || child.name === "Property") found.push(child);
  return found;
}

function property(text: string, object: SyntaxNode, name: string): SyntaxNode | null {
  return children(object).find((child) => child.name === "Property" && child.getChild("PropertyName") && content(text, child.getChild("PropertyName")!) === name) ?? null;
}

const valueOf = (node: SyntaxNode): SyntaxNode | null => (node.name === "Property" ? (children(node).at(-1) ?? null) : node);

/** Range of a problem's path, such as `routes.chat.targets[0].weight`: items are found by index, id or name. */
export function locate(tree: Tree, text: string, path: string): { from: number; to: number } {
  let node: SyntaxNode | null = tree.topNode.firstChild;
  let best = node;
  for (const part of path.match(/\[\d+\]|[^.[\]]+/g) ?? []) {
    const value: SyntaxNode | null = node && valueOf(node);
    if (!value) break;
    if (value.name === "Object") {
      node = property(text, value, part);
    } else if (value.name === "Array") {
      const items = children(value);
      const index = /^\[(\d+)\]$/.exec(part)?.[1];
      node = index !== undefined ? (items[Number(index)] ?? null) : (items.find((item) => ["id", "name", "model"].some((key) => {
        const field = item.name === "Object" ? property(text, item, key) : null;
        const found = field && valueOf(field);
        return found ? content(text, found) === part : false;
      })) ?? null);
    } else {
      node = null;
    }
    if (!node) break;
    best = node;
  }
  if (!best) return { from: 0, to: Math.min(1, text.length) };
  const lineEnd = text.indexOf("\n", best.from);
  return { from: best.from, to: Math.max(best.from, Math.min(best.to, lineEnd < 0 ? best.to : lineEnd)) };
}

export interface Place {
  path: (string | number)[];
  isKey: boolean;
  isQuoted: boolean;
  from: number;
  to: number;
}

/** Path of the cursor, and what would be completed there. */
export function pathAt(tree: Tree, text: string, position: number): Place | null {
  const start = tree.resolveInner(position, -1);
  const isString = start.name === "String" || start.name === "PropertyName";
  const word = /[\w.-]*$/.exec(text.slice(Math.max(0, position - 80), position))?.[0] ?? "";
  const from = position - word.length;
  const before = text.slice(0, isString ? start.from : from).trimEnd().at(-1) ?? "";
  const isKey = start.name === "PropertyName" || ((start.name === "Object" || start.parent?.name === "Object" || start.name === "⚠") && (before === "{" || before === ","));
  const path: (string | number)[] = [];
  for (let node: SyntaxNode | null = start; node; node = node.parent) {
    const parent: SyntaxNode | null = node.parent;
    if (node.name === "Property" && !(isKey && start.parent === node)) path.unshift(content(text, node.getChild("PropertyName") ?? node));
    if (parent?.name === "Array") path.unshift(children(parent).filter((item) => item.from < node!.from).length);
  }
  return { path, isKey, isQuoted: isString, from: isString ? Math.min(start.from + 1, position) : from, to: isString ? Math.max(position, start.to - (text[start.to - 1] === '"' && start.to > position ? 1 : 0)) : position };
}
