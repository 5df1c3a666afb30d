// Times the searches of search.rs: the best of several rounds, so that other processes count less.
import { readFileSync } from 'node:fs';

const [path, name] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(path), {});
const { fill, search } = instance.exports;
for (const entries of [1000, 5000, 10000]) {
  fill(entries, 384);
  search(20);
  let best = Infinity;
  for (let round = 0; round < 30; round++) {
    const began = performance.now();
    search(20);
    best = Math.min(best, (performance.now() - began) / 20);
  }
  console.log(`| ${name} | ${entries} | ${(best * 1000).toFixed(0)} µs |`);
}
