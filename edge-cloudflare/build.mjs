// Builds the Worker into edge-cloudflare/build, for wrangler. With an argument, builds another Worker
// into its own `build` directory: `node edge-cloudflare/build.mjs DIRECTORY`. crates/worker-bundle
// contains the implementation.

import { spawnSync } from "node:child_process";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const edge = dirname(fileURLToPath(import.meta.url));
const worker = resolve(process.argv[2] ?? edge);

const { status, error } = spawnSync("cargo", ["run", "--locked", "--package", "worker-bundle", "--", worker], {
  cwd: dirname(edge),
  stdio: "inherit",
});
if (error) throw new Error(`cannot start cargo: ${error.message}`);
process.exit(status ?? 1);
