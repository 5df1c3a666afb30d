// Measures what a browser loads, compressed, against the limits of CONTRACT.md section 8.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const KIB = 1024;
const LIMITS = { first: 30, chart: 25, editor: 130, all: 330 };

export function measure(directory) {
  const manifest = JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8"));
  const size = (file) => gzipSync(readFileSync(join(directory, file)), { level: 9 }).length;
  const name = (part) => Object.keys(manifest).find((key) => key.includes(part));

  // Files that a chunk loads by itself: its own, its styles, and its static imports.
  function closure(key, into = new Set()) {
    const chunk = manifest[key];
    if (into.has(chunk.file)) return into;
    into.add(chunk.file);
    for (const style of chunk.css ?? []) into.add(style);
    for (const other of chunk.imports ?? []) closure(other, into);
    return into;
  }

  const entry = closure("index.html");
  const language = closure(name("messages/core/zh") ?? name("messages/core/en"));
  const first = new Set(["index.html", ...entry, ...language]);
  const beyond = (key) => [...closure(key)].filter((file) => !first.has(file));
  const sum = (files) => [...files].reduce((total, file) => total + size(file), 0) / KIB;
  const everything = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile() && file.name !== "manifest.json")
    .map((file) => join(file.parentPath ?? file.path, file.name).slice(directory.length + 1));

  const sizes = {
    first: sum(first),
    chart: sum(beyond(name("chart/engine"))),
    editor: sum(beyond(name("editor/engine"))),
    all: sum(everything),
  };
  const views = Object.keys(manifest).filter((key) => key.startsWith("src/views/")).map((key) => [key.slice(10).replace(/\.tsx$/, ""), sum(beyond(key))]);
  const rows = Object.entries(sizes).map(([part, kib]) => `  ${part.padEnd(10)} ${kib.toFixed(1).padStart(6)} KiB of ${LIMITS[part]}\n`);
  const lines = views.map(([view, kib]) => `${view} ${kib.toFixed(1)}`).join(", ");
  const exceeded = Object.entries(sizes).filter(([part, kib]) => kib > LIMITS[part]).map(([part, kib]) => `${part} ${kib.toFixed(1)} KiB, limit ${LIMITS[part]}`);
  return { sizes, exceeded, text: `  compressed sizes\n${rows.join("")}  views beyond the first load, KiB: ${lines}\n` };
}
