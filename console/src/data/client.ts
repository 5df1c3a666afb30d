// Calls of the admin API. The session is a cookie that no script can read.

import { signal } from "@preact/signals";

import type { components } from "./api";

export type Problem = components["schemas"]["Problem"];
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Whether the session ended while the console was open. The screen stays, so that no input is lost. */
export const ended = signal(false);

/** Refusal of the gateway, or a call that never arrived (`status` 0). */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly field: string | null = null,
    readonly requestId: string | null = null,
    readonly problems: Problem[] = [],
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }

  /** The error of a call, whatever went wrong. */
  static of(failure: unknown): ApiError {
    return failure instanceof ApiError ? failure : new ApiError(String(failure), 0, "");
  }

  /** Whether this gateway is older than the screen: it has no such call. */
  get isUnknownCall(): boolean {
    return (this.status === 404 && this.code === "unknown_url") || this.status === 405;
  }
}

export interface Reply<T> {
  data: T;
  etag: string | null;
  status: number;
}

export interface CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Marks a call that a timer makes, so that it does not keep a forgotten tab signed in. */
  poll?: boolean;
  /** Set for sign-in, where 401 is an answer about the token. */
  isSignIn?: boolean;
}

export const ADMIN = "/admin/v1/";

/** Sends a call and returns the response, also a refused one. */
export async function send(method: Method, path: string, options: CallOptions = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json", ...options.headers };
  if (options.body !== undefined) headers["content-type"] ??= "application/json";
  if (options.poll) headers["x-serin-poll"] = "1";
  const body = options.body === undefined ? undefined : typeof options.body === "string" ? options.body : JSON.stringify(options.body);
  let response: Response;
  try {
    response = await fetch(ADMIN + path, { method, headers, body, signal: options.signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError("", 0, "unreachable");
  }
  if (response.status === 401 && !options.isSignIn) ended.value = true;
  return response;
}

interface ErrorBody {
  error?: { message?: string; code?: string | null; param?: string | null; problems?: Problem[] };
}

export async function failure(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => ({}))) as ErrorBody;
  const error = body.error ?? {};
  const retry = Number(response.headers.get("retry-after"));
  return new ApiError(
    error.message ?? "",
    response.status,
    error.code ?? "",
    error.param ?? null,
    response.headers.get("x-request-id"),
    error.problems ?? [],
    Number.isFinite(retry) && retry > 0 ? retry : null,
  );
}

export async function call<T>(method: Method, path: string, options: CallOptions = {}): Promise<Reply<T>> {
  const response = await send(method, path, options);
  if (!response.ok) throw await failure(response);
  const data = response.status === 204 ? undefined : await response.json().catch(() => undefined);
  return { data: data as T, etag: response.headers.get("etag"), status: response.status };
}

export async function get<T>(path: string, options: CallOptions = {}): Promise<T> {
  return (await call<T>("GET", path, options)).data;
}

/** Parameters as the gateway decodes them: a `+` is a plus sign, not a space. */
export const encodeQuery = (search: URLSearchParams): string => search.toString().replaceAll("+", "%20");

/** Path with parameters; absent and empty ones are left out. */
export function withQuery(path: string, parameters: Record<string, string | number | boolean | string[] | null | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "" && one !== false) search.append(name, String(one));
  }
  const text = encodeQuery(search);
  return text ? `${path}?${text}` : path;
}

export const escapePath = encodeURIComponent;
