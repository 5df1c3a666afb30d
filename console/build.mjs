// Builds the console: `node console/build.mjs`. Installs its packages if they are missing or outdated, and
// does nothing if no input has changed since the last build. Only Node and the npm registry are needed.
//
//   dist/site/        files for Workers, with _headers
//   dist/embedded/    the same files, compressed, with a table for edge-spin/build.rs

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { measure } from "./sizes.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const site = join(dist, "site");
const pages = join(site, "console");
const OPENAPI = join(here, "..", "crates/gateway/src/admin/openapi.json");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
};

const say = (text) => process.stdout.write(`→ ${text}\n`);

function run(what, program, arguments_) {
  const { status, error } = spawnSync(program, arguments_, { cwd: here, stdio: ["ignore", "inherit", "inherit"] });
  if (error) throw new Error(`${what} cannot start: ${error.message}`);
  if (status !== 0) throw new Error(`${what} failed with status ${status}`);
}

function files(directory) {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function fingerprint() {
  const hash = createHash("sha256");
  const single = ["index.html", "_headers", "package-lock.json", "tsconfig.json", "vite.config.mjs", "build.mjs", "sizes.mjs"];
  const inputs = [...single.map((name) => join(here, name)), ...files(join(here, "src")), ...files(join(here, "public")), OPENAPI];
  for (const file of inputs) {
    // The generated types follow from the OpenAPI document, which is an input itself.
    if (file.endsWith("api.d.ts")) continue;
    const bytes = readFileSync(file);
    hash.update(`${relative(here, file)}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

function installPackages() {
  const lock = readFileSync(join(here, "package-lock.json"));
  const stamp = join(here, "node_modules/.serin-lock");
  const wanted = createHash("sha256").update(lock).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  say("Node packages of the console into console/node_modules (about half a minute)");
  run("npm", "npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
  writeFileSync(stamp, wanted);
}

function embed() {
  const out = join(dist, "embedded");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const table = [];
  for (const [index, file] of files(pages).entries()) {
    const bytes = readFileSync(file);
    const etag = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
    const path = `/console/${relative(pages, file)}`;
    const type = TYPES[extname(file)];
    if (type === undefined) throw new Error(`${path} has no content type in build.mjs`);
    writeFileSync(join(out, `${index}.gz`), gzipSync(bytes, { level: 9 }));
    table.push([path, type, etag, `${index}.gz`].join("\t"));
  }
  writeFileSync(join(out, "table.tsv"), `${table.join("\n")}\n`);
}

const bin = (name) => join(here, "node_modules", name);
const wanted = fingerprint();
const stamp = join(dist, ".fingerprint");
if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && !process.argv.includes("--force")) {
  say("the console is up to date");
  process.exit(0);
}
const begin = Date.now();
installPackages();
say("building the console (some seconds)");
run("openapi-typescript", process.execPath, [bin("openapi-typescript/bin/cli.js"), OPENAPI, "--output", join(here, "src/data/api.d.ts")]);
run("tsc", process.execPath, [bin("typescript/bin/tsc"), "--noEmit", "--project", here]);
rmSync(stamp, { force: true });
run("vite", process.execPath, [bin("vite/bin/vite.js"), "build"]);
const report = measure(pages);
process.stdout.write(report.text);
if (report.exceeded.length > 0) throw new Error(`too large: ${report.exceeded.join("; ")}`);
rmSync(join(pages, "manifest.json"));
cpSync(join(here, "_headers"), join(site, "_headers"));
embed();
// Written last, so that an interrupted build is repeated.
writeFileSync(stamp, wanted);
say(`the console is built in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
