// Entry module of the Worker: the Worker itself and the class of its Durable Objects.
//
// The class is JavaScript because the host exposes methods to other Workers only if the class extends
// the host's own. Its behavior is in durable_object.rs.

import { DurableObject } from "cloudflare:workers";

import Gateway, { Keeper } from "../build/index.js";

const CONSOLE = /^\/console(\/|$)/;
const ASSETS = "/console/assets/";

// Page or file of the web console; `null` for a request to the gateway, as every one with a body is.
// A path without a file is a screen: the page shows it. A missing asset may exist after a deployment has
// spread, so that its absence may not be kept.
function consoleFile(request, files) {
  if (files === undefined || (request.method !== "GET" && request.method !== "HEAD")) return null;
  const url = new URL(request.url);
  if (!CONSOLE.test(url.pathname)) return null;
  return files.fetch(request).then((response) => {
    if (response.status !== 404) return response;
    if (url.pathname.startsWith(ASSETS)) {
      const missing = new Response(null, response);
      missing.headers.set("cache-control", "no-cache");
      return missing;
    }
    url.pathname = "/console/";
    return files.fetch(new Request(url, request));
  });
}

export default class extends Gateway {
  fetch(request) {
    return consoleFile(request, this.env.SERIN_CONSOLE) ?? super.fetch(request);
  }
}

export class SerinLedger extends DurableObject {
  #keeper;

  constructor(context, environment) {
    super(context, environment);
    // The object receives no calls before this ends.
    context.blockConcurrencyWhile(async () => {
      this.#keeper = new Keeper(context.storage, await context.storage.getAlarm());
    });
  }

  apply(operation) {
    return this.#keeper.apply(operation);
  }

  alarm() {
    return this.#keeper.alarm();
  }
}
