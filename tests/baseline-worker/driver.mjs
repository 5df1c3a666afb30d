// Calls a Durable Object again and again for as long as the URL says, and tells how many calls were
// answered: `/ledger?place=a&millis=1000`. It calls one at a time, since workerd is slow with many
// calls of one request; whoever wants many makes many requests, as the gateway does.
//
// `/ledger` reserves and settles in serin's ledger, in two accounts as a limit on tokens and requests
// has them. `/counter` is its baseline: an object that adds to one row.

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
  if (!reply.startsWith(answer)) throw new Error(`the ledger answered ${reply}`);
}

// What is done again and again; each tells how many operations that was.
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
