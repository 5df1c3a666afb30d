// Reads of the admin API with a cache: old data stays visible while newer data is on its way.

import { signal, type Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { ApiError, call, ended } from "./client";

const MAX_CACHED = 120;
/** Longest pause between polls of a gateway that fails. */
const MAX_BACKOFF_MS = 60_000;

export interface Resource<T> {
  data: T | undefined;
  etag: string | null;
  error: ApiError | null;
  /** Time of the data; 0 if there is none. */
  at: number;
  isLoading: boolean;
}

interface Entry {
  value: Signal<Resource<unknown>>;
  running: AbortController | null;
}

const cache = new Map<string, Entry>();

function entry(path: string): Entry {
  const found = cache.get(path);
  if (found) {
    cache.delete(path);
    cache.set(path, found);
    return found;
  }
  const made: Entry = { value: signal({ data: undefined, etag: null, error: null, at: 0, isLoading: true }), running: null };
  cache.set(path, made);
  for (const key of cache.keys()) {
    if (cache.size <= MAX_CACHED) break;
    cache.delete(key);
  }
  return made;
}

export type Reader<T> = (path: string, options: { signal: AbortSignal; poll: boolean }) => Promise<{ data: T; etag: string | null }>;

const read: Reader<unknown> = (path, options) => call("GET", path, options);

async function load(path: string, reader: Reader<unknown>, poll: boolean): Promise<void> {
  const one = entry(path);
  if (one.running && poll) return;
  one.running?.abort();
  const running = new AbortController();
  one.running = running;
  one.value.value = { ...one.value.peek(), isLoading: true };
  try {
    const { data, etag } = await reader(path, { signal: running.signal, poll });
    one.value.value = { data, etag, error: null, at: Date.now(), isLoading: false };
  } catch (error) {
    if (running.signal.aborted) return;
    const known = error instanceof ApiError ? error : new ApiError(String(error), 0, "unreachable");
    one.value.value = { ...one.value.peek(), error: known, isLoading: false };
  } finally {
    if (one.running === running) one.running = null;
  }
}

/** Reads `path` again, wherever a screen shows it. */
export function reload(prefix: string): void {
  // A copy: each read moves its entry to the end of the cache.
  for (const [path, one] of [...cache]) {
    if (!path.startsWith(prefix)) continue;
    if (one.value.peek().at > 0 || one.value.peek().error) void load(path, readers.get(path) ?? read, false);
  }
}

/** Forgets answers, so that no screen shows what a change has made untrue. */
export function forget(prefix: string): void {
  for (const path of [...cache.keys()]) if (path.startsWith(prefix)) cache.delete(path);
}

const readers = new Map<string, Reader<unknown>>();
const IDLE: Resource<never> = { data: undefined, etag: null, error: null, at: 0, isLoading: false };

/** Reads a path while the component is shown; `every` polls while the page is visible. */
export function useResource<T>(path: string | null, options: { every?: number; reader?: Reader<T> } = {}): Resource<T> & { reload: () => void } {
  const { every, reader } = options;
  const one = useMemo(() => (path === null ? null : entry(path)), [path]);
  useEffect(() => {
    if (path === null) return undefined;
    const chosen = (reader ?? read) as Reader<unknown>;
    readers.set(path, chosen);
    let timer = 0;
    let failures = 0;
    let isOver = false;
    const next = (): void => {
      if (every === undefined || isOver) return;
      timer = window.setTimeout(tick, Math.min(every * 2 ** failures, Math.max(every, MAX_BACKOFF_MS)));
    };
    const tick = async (): Promise<void> => {
      if (document.visibilityState === "visible" && !ended.peek()) {
        await load(path, chosen, true);
        failures = entry(path).value.peek().error ? Math.min(failures + 1, 6) : 0;
      }
      next();
    };
    const wake = (): void => {
      if (document.visibilityState === "visible" && every !== undefined && Date.now() - entry(path).value.peek().at > every) {
        clearTimeout(timer);
        void tick();
      }
    };
    void load(path, chosen, false).then(next);
    document.addEventListener("visibilitychange", wake);
    const unsubscribe = ended.subscribe((isEnded) => {
      if (!isEnded && entry(path).value.peek().error?.status === 401) void load(path, chosen, false);
    });
    return () => {
      isOver = true;
      clearTimeout(timer);
      unsubscribe();
      document.removeEventListener("visibilitychange", wake);
    };
  }, [path, every]);
  const current = (one?.value.value ?? IDLE) as Resource<T>;
  return { ...current, reload: () => void (path !== null && load(path, ((reader ?? read) as Reader<unknown>), false)) };
}

export interface Page<T> {
  data: T[];
  cursor: string | null;
}
