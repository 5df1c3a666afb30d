// The baseline of the gateway on Workers: the least that anything does which stands before an
// upstream. The host carries both bodies; JavaScript sees neither.

export default {
  fetch(request, environment) {
    const { pathname } = new URL(request.url);
    const { method, headers, body } = request;
    return fetch(environment.UPSTREAM + pathname, { method, headers, body });
  },
};
