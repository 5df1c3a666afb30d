// Workers KV as it is behind its binding: in memory, and of the last values that were put only as many
// as a benchmark needs. `DELAY` is how many milliseconds it takes to find something.
//
// Its second socket (`/?sizes`) tells what it holds, as names and bytes.

const MOST = 2_000;
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
      if (values.size > MOST) values.delete(values.keys().next().value);
      return new Response(null);
    }
    // Nothing that is measured lists or deletes.
    return new Response(null, { status: 501 });
  },
};
