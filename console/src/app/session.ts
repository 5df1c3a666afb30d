// The operator's session. The server decides on every call; the console only explains.

import { computed, signal } from "@preact/signals";

import { ApiError, call, ended, get } from "../data/client";

export type Role = "viewer" | "editor" | "owner";

export interface Session {
  operator: string;
  role: Role;
  session?: string;
  expires_at?: string;
  idle_seconds?: number;
  edge?: string;
  version?: string;
  config_version?: number;
  can?: Record<string, boolean>;
}

export type SessionState =
  | { kind: "unknown" }
  | { kind: "signed-out" }
  /** The gateway answers 404: without `ADMIN_TOKEN` and operators there is no admin API. */
  | { kind: "off" }
  | { kind: "unreachable" }
  | { kind: "signed-in"; session: Session };

export const state = signal<SessionState>({ kind: "unknown" });
export const session = computed(() => (state.value.kind === "signed-in" ? state.value.session : null));

const RANK: Record<Role, number> = { viewer: 0, editor: 1, owner: 2 };

export function may(role: Role): boolean {
  const own = session.value?.role;
  return own !== undefined && RANK[own] >= RANK[role];
}

/** Whether this gateway keeps provider keys itself. */
export const hasVault = (): boolean => session.value?.can?.vault === true;

export async function readSession(): Promise<void> {
  try {
    const session = await get<Session>("session", { isSignIn: true });
    state.value = { kind: "signed-in", session };
  } catch (error) {
    const status = error instanceof ApiError ? error.status : 0;
    if (status === 401) state.value = { kind: "signed-out" };
    else if (status === 404) state.value = { kind: "off" };
    else state.value = { kind: "unreachable" };
  }
}

/** Exchanges the token for a cookie. Errors are the caller's to show. */
export async function signIn(token: string): Promise<void> {
  await call("POST", "session", { body: { token }, isSignIn: true });
  const session = await get<Session>("session", { isSignIn: true });
  ended.value = false;
  state.value = { kind: "signed-in", session };
}

export async function signOut(): Promise<void> {
  await call("DELETE", "session", { isSignIn: true }).catch(() => undefined);
  // A full load drops everything that the page has in memory.
  window.location.assign("/console/");
}
