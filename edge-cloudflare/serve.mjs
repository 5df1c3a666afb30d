// Serves Workers on loopback with the real Workers runtime, all of them in one workerd process.
//
//   node edge-cloudflare/serve.mjs [--options FILE]
//
// reads this JSON document from the file or from standard input:
//
//   { "state": DIR or null,
//     "workers": [{ "name": …, "port": 0 for any, "script": PATH, "bindings": { NAME: VALUE },
//                   "ledger": false for a gateway without a reachable ledger }] }
//
// It prints one line {"listening":{NAME:PORT,…}} when all Workers accept requests. A Worker without
// `script` is serin itself, with its own store and ledger: persistent in the directory `state`, in
// memory if `state` is null. Logs of Workers go to standard output unchanged, errors and warnings to
// standard error. The program and workerd stop on SIGINT, SIGTERM, SIGHUP and at the end of a pipe on
// standard input, so that they do not outlive the parent process.

import { existsSync, fstatSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { Miniflare, NoOpLog, convertV4MiniflareOptions } from "miniflare";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SERIN = join(root, "edge-cloudflare", "build", "index.js");
// Taken from wrangler.toml, so that the served Worker equals the deployed one.
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

// Resolves as soon as the document is complete; the end of the pipe stops the program.
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
        // Incomplete: wait for more.
      }
    });
    process.stdin.on("end", () => {
      reject(new Error("standard input ended before the document was complete"));
      stop(0);
    });
  }
  return promise;
}

// Returns a script's module and its WebAssembly, under the names that the module imports. Both are read
// from one version of the build: another build may replace the link meanwhile.
function modules(script) {
  const path = realpathSync(resolve(root, script));
  const all = [{ type: "ESModule", path: "index.js", contents: readFileSync(path, "utf8") }];
  const wasm = join(dirname(path), "index_bg.wasm");
  if (existsSync(wasm) && all[0].contents.includes("index_bg.wasm")) {
    all.push({ type: "CompiledWasm", path: "index_bg.wasm", contents: readFileSync(wasm) });
  }
  return all;
}

// Returns the bindings of wrangler.toml. Each Worker has its own store and ledger.
function storeAndLedger(name, ledger) {
  return {
    kvNamespaces: { SERIN_KV: `${name}-store` },
    ...(ledger
      ? { durableObjects: { SERIN_LEDGER: { className: "SerinLedger", useSQLite: true } } }
      : {}),
  };
}

// Returns the files of the console, as wrangler.toml has them; none before its build.
function consoleFiles() {
  const directory = join(root, "console/dist/site");
  if (!existsSync(join(directory, "console/index.html"))) return {};
  return {
    assets: {
      directory,
      binding: "SERIN_CONSOLE",
      run_worker_first: true,
      routerConfig: { has_user_worker: true },
      assetConfig: { not_found_handling: "none" },
    },
  };
}

function worker({ name, port = 0, script, bindings = {}, ledger = true }) {
  return {
    name,
    modules: modules(script ?? SERIN),
    ...(script === undefined ? { ...storeAndLedger(name, ledger), ...consoleFiles() } : {}),
    bindings,
    compatibilityDate,
    compatibilityFlags,
    // Connects directly to the Worker: Miniflare's own entry would log and rewrite requests.
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
