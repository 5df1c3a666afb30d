// Serves Workers on loopback, on the real Workers runtime: one workerd process for all of them.
//
//   node edge-cloudflare/serve.mjs [--options FILE]
//
// takes, from the file or from standard input, the JSON document
//
//   { "state": DIR or null,
//     "workers": [{ "name": …, "port": 0 for any, "script": PATH, "bindings": { NAME: VALUE },
//                   "ledger": false for a gateway that cannot reach its own }] }
//
// and prints one line {"listening":{NAME:PORT,…}} when all of them can be called. A worker without
// `script` is serin itself, with a store and a ledger of its own: under `state` they last, otherwise
// they end with this program. What workers log goes to standard output as it is, errors and warnings to
// standard error. It stops on SIGINT, SIGTERM and the end of a pipe on standard input, so that it does
// not outlive whoever started it, and workerd stops with it.

import { existsSync, fstatSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { Miniflare, NoOpLog, convertV4MiniflareOptions } from "miniflare";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SERIN = join(root, "edge-cloudflare", "build", "index.js");
// Those of wrangler.toml, so that what is served is what is deployed.
const deployed = readFileSync(join(root, "wrangler.toml"), "utf8");
const compatibilityDate = deployed.match(/^compatibility_date\s*=\s*"([^"]+)"/m)[1];
const compatibilityFlags = JSON.parse(deployed.match(/^compatibility_flags\s*=\s*(\[[^\]]*\])/m)[1]);

let miniflare;
let stopping = false;

async function stop(code) {
  if (stopping) return;
  stopping = true;
  await miniflare?.dispose();
  process.exit(code);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stop(0));

// The document ends where it is whole, since the end of the pipe means something else.
function readOptions() {
  const at = process.argv.indexOf("--options");
  const file = at > 0 ? process.argv[at + 1] : undefined;
  const { promise, resolve: found, reject } = Promise.withResolvers();
  if (file !== undefined) found(JSON.parse(readFileSync(file, "utf8")));
  const kind = fstatSync(0);
  if (file === undefined || kind.isFIFO() || kind.isSocket()) {
    let text = "";
    process.stdin.setEncoding("utf8").on("data", (piece) => {
      text += piece;
      if (!text.trimEnd().endsWith("}")) return;
      try {
        found(JSON.parse(text));
      } catch {
        // There is more to come.
      }
    });
    process.stdin.on("end", () => {
      reject(new Error("standard input ended before the document did"));
      stop(0);
    });
  }
  return promise;
}

// A script is its module and the WebAssembly beside it, under the names by which it imports them. Both
// are read from one version of the build, which is a link that another build may replace meanwhile.
function modules(script) {
  const path = realpathSync(resolve(root, script));
  const all = [{ type: "ESModule", path: "index.js", contents: readFileSync(path, "utf8") }];
  const wasm = join(dirname(path), "index_bg.wasm");
  if (existsSync(wasm) && all[0].contents.includes("index_bg.wasm")) {
    all.push({ type: "CompiledWasm", path: "index_bg.wasm", contents: readFileSync(wasm) });
  }
  return all;
}

// What wrangler.toml binds. Names are the workers' own, so that none sees what another keeps.
function doors(name, ledger) {
  return {
    kvNamespaces: { SERIN_KV: `${name}-store` },
    ...(ledger
      ? { durableObjects: { SERIN_LEDGER: { className: "SerinLedger", useSQLite: true } } }
      : {}),
  };
}

function worker({ name, port = 0, script, bindings = {}, ledger = true }) {
  return {
    name,
    modules: modules(script ?? SERIN),
    ...(script === undefined ? doors(name, ledger) : {}),
    bindings,
    compatibilityDate,
    compatibilityFlags,
    // Straight to the worker: Miniflare's own entry would log and rewrite what passes.
    unsafeDirectSockets: [{ host: "127.0.0.1", port }],
    unsafeRegisterWorker: false,
  };
}

try {
  const { state = null, workers } = await readOptions();
  const options = {
    host: "127.0.0.1",
    port: 0,
    cf: false,
    log: new NoOpLog(),
    workers: workers.map(worker),
    handleStructuredLogs: ({ level, message }) => {
      const stream = level === "error" || level === "warn" ? process.stderr : process.stdout;
      stream.write(`${message}\n`);
    },
  };
  const converted = convertV4MiniflareOptions(options);
  if (state !== null) converted.resourcePersistencePath = resolve(root, state);
  miniflare = new Miniflare(converted);
  await miniflare.ready;
  const listening = {};
  for (const { name } of workers) {
    listening[name] = Number((await miniflare.unsafeGetDirectURL(name)).port);
  }
  process.stdout.write(`${JSON.stringify({ listening })}\n`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  await stop(1);
}
