// What the shell asks of JavaScript, in as few crossings as possible. Headers travel as one text of
// alternating lines, since neither a name nor a value can hold a line break.

export function headers(message) {
  let text = "";
  for (const [name, value] of message.headers) text += `${name}\n${value}\n`;
  return text;
}

function pairs(text) {
  const lines = text.split("\n");
  const all = [];
  for (let at = 1; at < lines.length; at += 2) all.push([lines[at - 1], lines[at]]);
  return all;
}

export function call(url, method, headers, body, signal) {
  return fetch(url, { method, headers: pairs(headers), body, signal, redirect: "manual" });
}

export function answer(status, headers, body) {
  return new Response(body, { status, headers: pairs(headers) });
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
