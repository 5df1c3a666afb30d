// In-memory implementation of the service behind a Workers KV binding. It holds the last `MAX_VALUES`
// values, enough for a benchmark. `DELAY` is the duration of a lookup in milliseconds.
//
// Its second socket (`/?sizes`) returns the stored names with the sizes of their values in bytes.

const MAX_VALUES = 2_000;
const values = new Map();

function answer(value) {
  return value === undefined ? new Response(null, { status: 404 }) : new Response(value);
}

export default {
  async fetch(request, { DELAY }) {
    const { pathname, searchParams } = new URL(request.url);
    if (searchParams.has("sizes")) {
      const sizes = [...values].map(([name, value]) => [name, value.byteLength]);
      return Response.json(Object.fromEntries(sizes));
    }
    const name = decodeURIComponent(pathname.slice(1));
    if (request.method === "GET" && name !== "") {
      if (DELAY !== "0") await scheduler.wait(Number(DELAY));
      return answer(values.get(name));
    }
    if (request.method === "PUT") {
      values.delete(name);
      values.set(name, await request.arrayBuffer());
      if (values.size > MAX_VALUES) values.delete(values.keys().next().value);
      return new Response(null);
    }
    // No benchmark lists or deletes.
    return new Response(null, { status: 501 });
  },
};
