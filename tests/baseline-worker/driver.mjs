// Load driver for Durable Objects: calls one repeatedly for `millis` milliseconds and returns the number
// of operations: `/ledger?place=a&millis=1000`. Calls are sequential, since workerd is slow with many
// concurrent calls of one request. For concurrency, send concurrent requests, as the gateway does.
//
// `/ledger` reserves and settles in serin's ledger, in two accounts, as for a limit on tokens and
// requests. `/counter` is its baseline: an object that increments one row.

import { DurableObject } from "cloudflare:workers";

const SLIDING = { sliding: 60_000 };
const RULE = { max: 2 ** 52, window: SLIDING };

let reservations = 0;

export class Counter extends DurableObject {
  add() {
    const { kv } = this.ctx.storage;
    const count = (kv.get("count") ?? 0) + 1;
    kv.put("count", count);
    return count;
  }
}

async function apply(object, operation, answer) {
  const reply = await object.apply(JSON.stringify(operation));
  if (!reply.startsWith(answer)) throw new Error(`unexpected ledger reply: ${reply}`);
}

// One iteration of each task. Returns its number of operations.
const tasks = {
  "/ledger": async ({ LEDGER }, place) => {
    const object = LEDGER.get(LEDGER.idFromName(place));
    const id = ++reservations;
    const until = Date.now() + 60_000;
    const hold = (account, want) => ({ account, rule: RULE, least: want, want, slice: null });
    const charge = (account, amount) => ({ account, window: SLIDING, amount });
    const holds = [hold("bench:tokens:x", 1300), hold("bench:requests:x", 1)];
    await apply(object, { reserve: { id, until, holds } }, '{"granted"');
    const charges = [charge("bench:tokens:x", 300), charge("bench:requests:x", 1)];
    await apply(object, { settle: { id, until, charges } }, '"done"');
    return 2;
  },
  "/counter": async ({ COUNTER }, place) => {
    await COUNTER.get(COUNTER.idFromName(place)).add();
    return 1;
  },
};

export default {
  async fetch(request, environment) {
    const { pathname, searchParams } = new URL(request.url);
    const place = searchParams.get("place");
    const end = Date.now() + Number(searchParams.get("millis"));
    let operations = 0;
    while (Date.now() < end) operations += await tasks[pathname](environment, place);
    return Response.json({ operations });
  },
};
