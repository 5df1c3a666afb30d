// Times the searches of search.rs: the best of many, so that other processes count less.
import { readFileSync } from 'node:fs';

const [path, name] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(path), {});
const { fill, search } = instance.exports;
for (const entries of [1000, 5000, 10000]) {
  fill(entries, 384);
  search(20);
  let best = Infinity;
  for (let round = 0; round < 300; round++) {
    const began = performance.now();
    search(1);
    best = Math.min(best, performance.now() - began);
  }
  console.log(`| ${name} | ${entries} | ${(best * 1000).toFixed(0)} µs |`);
}
