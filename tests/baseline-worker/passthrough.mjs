// First benchmark baseline on Workers: a minimal proxy. The host passes both bodies through without
// handing them to JavaScript.

export default {
  fetch(request, environment) {
    const { pathname } = new URL(request.url);
    const { method, headers, body } = request;
    return fetch(environment.UPSTREAM + pathname, { method, headers, body });
  },
};
