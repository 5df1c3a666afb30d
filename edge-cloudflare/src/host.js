// What the shell asks of JavaScript, in as few crossings as possible. Headers travel as one text of
// alternating lines, since neither a name nor a value can hold a line break.

export function headers(message) {
  let text = "";
  message.headers.forEach((value, name) => (text += `${name}\n${value}\n`));
  return text;
}

// An object costs the host half of what a list of pairs does. Values of one name are one list (RFC
// 9110, section 5.3).
function fields(text) {
  const lines = text.split("\n");
  const all = {};
  for (let at = 1; at < lines.length; at += 2) {
    const name = lines[at - 1];
    all[name] = Object.hasOwn(all, name) ? `${all[name]}, ${lines[at]}` : lines[at];
  }
  return all;
}

export function call(url, method, headers, body, signal) {
  return fetch(url, { method, headers: fields(headers), body, signal, redirect: "manual" });
}

export function answer(status, headers, body) {
  return new Response(body, { status, headers: fields(headers) });
}

// Answers every promise: with its place, what it came to, and whether it was kept.
let settled;

export function listen(callback) {
  settled = callback;
}

export function settle(promise, place) {
  promise.then(
    (value) => settled(place, value, true),
    (error) => settled(place, error, false),
  );
}

export function read(reader, place) {
  reader.read().then(
    ({ value }) => settled(place, value, true),
    (error) => settled(place, error, false),
  );
}

// What wrangler.toml binds. It is taken from each request's own environment: the host's objects
// belong to the request that they came with.
function binding(environment, name) {
  const bound = environment[name];
  if (bound === undefined) throw new Error(`the binding ${name} is missing: wrangler.toml has it`);
  return bound;
}

export function load(environment, name, cacheTtl) {
  return binding(environment, "SERIN_KV").get(name, { type: "arrayBuffer", cacheTtl });
}

export function keep(environment, name, value, expirationTtl) {
  return binding(environment, "SERIN_KV").put(name, value, { expirationTtl });
}

export function forget(environment, name) {
  return binding(environment, "SERIN_KV").delete(name);
}

// One text: in the first line where to go on, or nothing at the end, then a name in each.
export async function list(environment, prefix, cursor) {
  const page = await binding(environment, "SERIN_KV").list({ prefix, cursor });
  const names = page.keys.map(({ name }) => name);
  return [page.list_complete ? "" : page.cursor, ...names].join("\n");
}

export function ask(environment, place, operation) {
  const ledger = binding(environment, "SERIN_LEDGER");
  return ledger.get(ledger.idFromName(place)).apply(operation);
}

// A Durable Object's rows, as names and bodies in turn.
export function rows(storage) {
  return [...storage.kv.list()].flat();
}

// Writes rows, or none of them: names and bodies in turn, without a body for one to be forgotten.
export function write(storage, changes) {
  storage.transactionSync(() => {
    for (let at = 1; at < changes.length; at += 2) {
      const name = changes[at - 1];
      const body = changes[at];
      if (body === undefined) storage.kv.delete(name);
      else storage.kv.put(name, body);
    }
  });
}

// A data point of Workers Analytics Engine. It is taken at once and never waited for.
export function measure(environment, index, blobs, doubles) {
  environment.SERIN_ANALYTICS.writeDataPoint({
    indexes: [index],
    blobs: blobs.split("\n"),
    doubles: Array.from(doubles),
  });
}
