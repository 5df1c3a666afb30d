// The module that the host loads: the Worker, and the class of its Durable Objects.
//
// The class is written here since the host offers the methods of a class to other Workers only where
// it extends the host's own. All that it does is in object.rs.

import { DurableObject } from "cloudflare:workers";

import worker, { Keeper } from "../build/index.js";

export default worker;

export class SerinLedger extends DurableObject {
  #keeper;

  constructor(context, environment) {
    super(context, environment);
    // Nothing is delivered to the object before this ends.
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
