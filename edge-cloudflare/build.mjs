// Builds the Worker into edge-cloudflare/build, with the tools of node_modules and of serin's cache;
// or another Worker into its own build directory: `node edge-cloudflare/build.mjs DIRECTORY`.
//
// worker-build would download wasm-bindgen, wasm-opt and esbuild from the open internet. They are
// named here instead: two come with `npm ci`, the others are installed by cargo once per version.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const edge = dirname(fileURLToPath(import.meta.url));
const root = dirname(edge);
const worker = resolve(process.argv[2] ?? edge);
const cache = process.env.SERIN_TOOLS || join(homedir(), ".cache", "serin");
const bin = join(root, "node_modules", ".bin");
const suffix = process.platform === "win32" ? ".exe" : "";

const WORKER_BUILD = "0.8.7";

function run(program, args, environment = {}, directory = worker) {
  const { status, error } = spawnSync(program, args, {
    cwd: directory,
    stdio: "inherit",
    // wasm-opt is a Node script: it gets the Node of node_modules, as under npx.
    env: { ...process.env, PATH: [bin, process.env.PATH].join(delimiter), ...environment },
  });
  if (error) throw new Error(`${program} cannot be started: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

// The program must be of the very version of the library, or it refuses to work.
function locked(crate) {
  const lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  const version = lock.match(new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`))?.[1];
  if (!version) throw new Error(`Cargo.lock does not name ${crate}`);
  return version;
}

// The file of a tool that cargo installs, by the convention that xtask follows too.
function tool(directory, crate, version, program, options = []) {
  const home = join(cache, `${directory}-${version}`);
  const file = join(home, "bin", program + suffix);
  if (!existsSync(file)) {
    console.error(`Installing ${crate} ${version} into ${home}, once; this takes some minutes.`);
    run("cargo", ["install", crate, "--version", `=${version}`, "--root", home, ...options]);
  }
  return file;
}

function package_file(...path) {
  const file = join(root, "node_modules", ...path);
  if (!existsSync(file)) throw new Error(`${file} is missing: run \`npm ci\` first`);
  return file;
}

const esbuild = package_file("esbuild", "bin", "esbuild");
const optimiser = package_file("binaryen", "bin", "wasm-opt");
const bindgen = tool("wasm-bindgen", "wasm-bindgen-cli", locked("wasm-bindgen"), "wasm-bindgen", [
  "--no-default-features",
]);
const builder = tool("worker-build", "worker-build", WORKER_BUILD, "worker-build");

run(builder, ["--release"], {
  ESBUILD_BIN: esbuild,
  WASM_BINDGEN_BIN: bindgen,
});

// worker-build would have wasm-opt keep the names of all functions. Who needs them, for a profile or
// for a stack in a log, finds them in target/wasm32-unknown-unknown/release. What the compiler and
// wasm-bindgen assume of the host is named, so that nothing newer comes in.
const features = [
  "mutable-globals",
  "sign-ext",
  "nontrapping-float-to-int",
  "bulk-memory",
  "multivalue",
  "reference-types",
  "exception-handling",
];
const module = join(worker, "build", "index_bg.wasm");
const assumed = features.map((feature) => `--enable-${feature}`);
run(optimiser, ["-Os", ...assumed, module, "--output", module]);

// worker-build knows the entry `fetch` alone. A Worker that has more to show says so in a module of
// its own, which is joined with what was built.
const entry = join(worker, "src", "worker.js");
if (existsSync(entry)) {
  const build = join(worker, "build");
  const options = ["--bundle", "--minify", "--format=esm", "--outfile=index.js", "--allow-overwrite"];
  const others = ["--external:./index_bg.wasm", "--external:cloudflare:*", "--log-level=warning"];
  run(esbuild, [entry, ...options, ...others], {}, build);
}
