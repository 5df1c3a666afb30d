// Entry module of a Worker in Rust. It replaces the WebAssembly instance after a panic or a trap,
// because no destructor has run and the memory may be inconsistent.
//
// The `worker` crate owns the state: its panic hook sets `criticalError`, its start function
// increments `instanceId`.

import { WorkerEntrypoint } from "cloudflare:workers";

import * as wasm from "../bindings/index.js";

Error.stackTraceLimit = 100;

const state = wasm.__worker_init_state();

addEventListener("error", (event) => recordTrap(event.error));

function recordTrap(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  console.error("Critical", error);
  state.criticalError = true;
}

function restartAfterPanic() {
  if (!state.criticalError) return;
  console.log("Reinitializing Wasm application");
  wasm.__wbg_reset_state();
  state.criticalError = false;
  state.instanceId++;
}

// Replaces a broken instance before the call, and records a trap during the call.
const guardedMethod = {
  apply(method, self, args) {
    restartAfterPanic();
    try {
      return Reflect.apply(method, self, args);
    } catch (error) {
      recordTrap(error);
      throw error;
    }
  },
};

const guardedAsyncMethod = {
  async apply(method, self, args) {
    restartAfterPanic();
    try {
      return await Reflect.apply(method, self, args);
    } catch (error) {
      recordTrap(error);
      throw error;
    }
  },
};

// Forwards every operation on a handle to its current object.
const handleOperations = {};
for (const name of Object.getOwnPropertyNames(Reflect)) {
  handleOperations[name] = (handle, ...rest) => Reflect[name](handle.object, ...rest);
}

// Constructs an object of an earlier instance again, with its original arguments.
handleOperations.get = (handle, name, receiver) => {
  if (handle.instanceId !== state.instanceId) construct(handle);
  const value = Reflect.get(handle.object, name, receiver);
  if (typeof value !== "function") return value;
  return new Proxy(value, value.constructor === Function ? guardedMethod : guardedAsyncMethod);
};

function construct(handle) {
  handle.object = Reflect.construct(...handle.construction);
  handle.instanceId = state.instanceId;
}

const guardedClass = {
  construct(...construction) {
    try {
      restartAfterPanic();
      const handle = { construction };
      construct(handle);
      return new Proxy(handle, handleOperations);
    } catch (error) {
      state.criticalError = true;
      throw error;
    }
  },
};

function guarded(exported) {
  return new Proxy(exported, guardedClass);
}

class Entrypoint extends WorkerEntrypoint {}

function handle(event, handler) {
  Entrypoint.prototype[event] = function (argument) {
    return handler.call(this, argument, this.env, this.ctx);
  };
}

export default guarded(Entrypoint);

// worker-bundle generates the lines below from the Worker's exports.
