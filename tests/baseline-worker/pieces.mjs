// Second benchmark baseline on Workers: a minimal gateway in JavaScript that reads what it proxies. It
// parses the request, and reads each chunk of the response before it passes it on.

export default {
  async fetch(request, environment, context) {
    const { pathname } = new URL(request.url);
    const { method, headers } = request;
    const body = await request.text();
    JSON.parse(body);
    const answer = await fetch(environment.UPSTREAM + pathname, { method, headers, body });
    const { readable, writable } = new IdentityTransformStream();
    context.waitUntil(pass(answer.body.getReader(), writable.getWriter()));
    return new Response(readable, answer);
  },
};

async function pass(reader, writer) {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return writer.close();
    await writer.write(value);
  }
}
