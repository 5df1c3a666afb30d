// Builds the console into dist/site/console; build.mjs runs it and adds what the edges need.

import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

// Splits a catalogue of [English, Chinese] pairs, so that a browser loads one language.
const messages = {
  name: "serin-messages",
  resolveId: (id) => (id.startsWith("virtual:messages/") ? `\0${id}` : null),
  load(id) {
    const found = /^\0virtual:messages\/(core|views)\/(en|zh)$/.exec(id);
    if (!found) return null;
    const [, part, language] = found;
    const file = new URL(`src/lang/${part}.json`, import.meta.url);
    this.addWatchFile(file.pathname);
    const pairs = Object.entries(JSON.parse(readFileSync(file, "utf8")));
    const one = pairs.map(([key, [en, zh]]) => [key, language === "en" ? en : zh]);
    return `export default ${JSON.stringify(Object.fromEntries(one))};`;
  },
};

export default defineConfig({
  base: "/console/",
  plugins: [messages],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  logLevel: "warn",
  build: {
    outDir: "dist/site/console",
    emptyOutDir: true,
    target: ["chrome123", "firefox123", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    manifest: "manifest.json",
  },
});
