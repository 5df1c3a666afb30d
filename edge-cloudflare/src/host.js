// JavaScript functions of the Workers shell, with as few calls across the boundary as possible. Headers
// are one text with a name and its value on alternating lines, since neither can contain a line break.

export function headers(message) {
  let text = "";
  message.headers.forEach((value, name) => (text += `${name}\n${value}\n`));
  return text;
}

// Parses headers into an object, which costs the host half as much as a list of pairs. Joins the values
// of one name with commas (RFC 9110, section 5.3).
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

// Callback for every settled promise: its slot, its value or error, and whether it was fulfilled.
let settled;

export function listen(callback) {
  settled = callback;
}

export function settle(promise, slot) {
  promise.then(
    (value) => settled(slot, value, true),
    (error) => settled(slot, error, false),
  );
}

export function read(reader, slot) {
  reader.read().then(
    ({ value }) => settled(slot, value, true),
    (error) => settled(slot, error, false),
  );
}

// Returns a binding of wrangler.toml from the environment of the current request: the host's objects
// are valid only in the request that they came with.
function binding(environment, name) {
  const bound = environment[name];
  if (bound === undefined) throw new Error(`binding ${name} is missing in wrangler.toml`);
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

// Lists names as one text: the next cursor on the first line (empty at the end), then one name per line.
export async function list(environment, prefix, cursor) {
  const page = await binding(environment, "SERIN_KV").list({ prefix, cursor });
  const names = page.keys.map(({ name }) => name);
  return [page.list_complete ? "" : page.cursor, ...names].join("\n");
}

export function ask(environment, bookId, operation) {
  const ledger = binding(environment, "SERIN_LEDGER");
  return ledger.get(ledger.idFromName(bookId)).apply(operation);
}

// Returns a Durable Object's rows as alternating names and bodies.
export function rows(storage) {
  return [...storage.kv.list()].flat();
}

// Writes rows in one transaction: alternating names and bodies. An undefined body deletes the row.
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

// Writes a data point to Workers Analytics Engine. The call returns immediately; nothing awaits it.
export function measure(environment, index, blobs, doubles) {
  environment.SERIN_ANALYTICS.writeDataPoint({
    indexes: [index],
    blobs: blobs.split("\n"),
    doubles: Array.from(doubles),
  });
}
