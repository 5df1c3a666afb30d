// Gateways for the tests: the built artifact of an edge on its real runtime, before simulated model providers.
//
// `tests/tests/console_browser.rs` starts an edge and passes the addresses by name in SERIN_CONSOLE_GATEWAYS, a JSON
// object. Without it, the Worker that is built in edge-cloudflare/build starts here, with the simulated providers of
// `cargo build -p sim --bin serin-upstream`. `node tests/edge.mjs` serves one for development.

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const PROVIDERS = ["openai", "deepseek", "local"];
/** Longest start of a process. */
const LISTEN_TIMEOUT_MS = 120_000;
/** Gateways of one run; visit.mjs says what each is for. */
const GATEWAYS = ["seeded", "changed", "quiet"];

export const GATEWAY = JSON.parse(readFileSync(join(here, "gateway.json"), "utf8"));
export const SECRETS = GATEWAY.secrets;

/** Resolves with the first match of a line that the process prints. */
function awaitLine(child, pattern) {
  return new Promise((found, fail) => {
    const late = setTimeout(() => fail(new Error(`no line ${pattern} within ${LISTEN_TIMEOUT_MS} ms`)), LISTEN_TIMEOUT_MS);
    createInterface({ input: child.stdout }).on("line", (line) => {
      const match = pattern.exec(line);
      if (match) (clearTimeout(late), found(match));
    });
    child.on("exit", (code) => fail(new Error(`${child.spawnfile} ended: ${code}`)));
  });
}

function startProvider(name) {
  const program = process.env.SERIN_UPSTREAM ?? join(root, "target/debug/serin-upstream");
  if (!existsSync(program)) throw new Error("no simulated provider: `cargo build -p sim --bin serin-upstream`");
  const child = spawn(program, ["--as", name, "--port", "0", "--quiet"], { stdio: ["ignore", "pipe", "inherit"] });
  return { child, address: awaitLine(child, /http:\/\/([\d.:]+)\/v1/).then((match) => match[1]) };
}

/** Starts gateways. Returns their addresses by name, and a function that ends every process. */
export async function startGateways(names = GATEWAYS) {
  const given = process.env.SERIN_CONSOLE_GATEWAYS;
  if (given) return { bases: JSON.parse(given), stop: async () => {} };
  const children = [];
  const stop = async () => {
    for (const child of children) {
      const ended = new Promise((done) => child.once("exit", done));
      if (child.exitCode === null && child.kill("SIGTERM")) await ended;
    }
  };
  try {
    let text = JSON.stringify(GATEWAY.config);
    for (const name of PROVIDERS) {
      const { child, address } = startProvider(name);
      children.push(child);
      text = text.replaceAll(`//${name.toUpperCase()}/`, `//${await address}/`);
    }
    const node = join(root, "node_modules/.bin/node");
    const edge = spawn(existsSync(node) ? node : process.execPath, [join(root, "edge-cloudflare/serve.mjs")], { stdio: ["pipe", "pipe", "inherit"] });
    children.push(edge);
    const listening = awaitLine(edge, /^(\{"listening".*\})$/);
    edge.stdin.write(`${JSON.stringify({ state: null, workers: names.map((name) => ({ name, bindings: { ...SECRETS, GATEWAY_CONFIG: text } })) })}\n`);
    const ports = JSON.parse((await listening)[1]).listening;
    return { bases: Object.fromEntries(names.map((name) => [name, `http://127.0.0.1:${ports[name]}`])), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { bases, stop } = await startGateways(["one"]);
  console.log(`${bases.one}/console/, token ${SECRETS.ADMIN_TOKEN}`);
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => void stop().then(() => process.exit(0)));
}
