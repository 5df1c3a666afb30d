// Entry module of the Worker: the Worker itself and the class of its Durable Objects.
//
// The class is JavaScript because the host exposes methods to other Workers only if the class extends
// the host's own. Its behavior is in durable_object.rs.

import { DurableObject } from "cloudflare:workers";

import worker, { Keeper } from "../build/index.js";

export default worker;

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
